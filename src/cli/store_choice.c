#include "cli/store_choice.h"

#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "base/file.h"
#include "cli/pull_offer.h"

/* Once, before the command runs. */
static const char *from_settings, *config_path = "";
static bool may_offer;

void store_choice_keep(const char *folder, const char *config, bool offer)
{
    from_settings = folder;
    config_path = config;
    may_offer = offer;
}

bool store_choose(char out[TREE_PATH_BYTES], const struct opt_value *flag, hearth_error *err)
{
    const char *said = flag ? flag->text : env_get_flag("store-dir");
    said = said ? said : from_settings;
    if (!said)
        return store_usual_place(out)
            || fail(err, HEARTH_ERR_USAGE, "there is no folder for models: neither XDG_DATA_HOME nor HOME is a path; "
                    "name one with --store-dir or HEARTH_STORE_DIR");
    return (*said && snprintf(out, TREE_PATH_BYTES, "%s", said) < TREE_PATH_BYTES)
        || fail(err, HEARTH_ERR_USAGE, "--store-dir has %zu bytes; it may have 1 to %d", strlen(said),
                TREE_PATH_BYTES - 1);
}

static bool is_there(const char *path)
{
    uint64_t device, inode;
    return file_identity(path, &device, &inode, NULL) == 1;
}

/* 1, 0: nothing of the store is that; -1. */
static int look(const char *text, char out[STORE_FILE_BYTES], hearth_error *err)
{
    char folder[TREE_PATH_BYTES];
    struct tree t = { .fd = -1 };
    struct store_list list = { 0 };
    int index = -1, found = 0;
    if (!store_choose(folder, NULL, err))
        return reference_is_one(text) ? -1 : 0;
    if (!is_there(folder))
        return 0;
    if (!tree_open(&t, folder, false, err) || !store_list(&list, &t, err))
        found = -1;
    else
        found = store_find(&list, text, &index, err);
    if (found == 1)
        snprintf(out, STORE_FILE_BYTES, "%s", list.item[index].path);
    store_list_free(&list);
    tree_close(&t);
    return found;
}

int store_path_of(const char *text, char out[STORE_FILE_BYTES], hearth_error *err)
{
    struct reference r;
    bool is_reference = reference_is_one(text);
    if (!is_reference && is_there(text))
        return 0;
    if (is_reference && !reference_read(&r, text, err))
        return -1;
    int found = look(text, out, err);
    char folder[TREE_PATH_BYTES];
    if (found == 0 && is_reference && may_offer && store_choose(folder, NULL, err)
        && pull_offer(r.text, folder, config_path))
        found = look(text, out, err);
    if (found == 0 && is_reference) {
        fail(err, HEARTH_ERR_USAGE, "%.200s is not among the pulled models; hearth pull %.200s gets it (with --plan it "
             "says first how large it is, and whether it fits)", r.text, r.text);
        return -1;
    }
    return found;
}

/* F-00001-of-00003.gguf: the first becomes that part. */
static bool path_of_part(const char *path, int part, char out[STORE_FILE_BYTES])
{
    static const char first[] = "-00001-of-";
    const char *at = NULL;
    for (const char *next = strstr(path, first); next; next = strstr(next + 1, first))
        at = next;
    if (part == 0)
        return snprintf(out, STORE_FILE_BYTES, "%s", path) < STORE_FILE_BYTES;
    return at && snprintf(out, STORE_FILE_BYTES, "%.*s-%05d-of-%s", (int)(at - path), path, part + 1,
                          at + sizeof first - 1) < STORE_FILE_BYTES;
}

bool store_sha256_of(const char *path, int part, char out[65])
{
    char folder[TREE_PATH_BYTES], file[STORE_FILE_BYTES];
    struct tree t = { .fd = -1 };
    struct tree_file f;
    struct store_list list = { 0 };
    bool found = false;
    if (!path_of_part(path, part, file) || !tree_file_outside(file, &f) || !store_choose(folder, NULL, NULL)
        || !is_there(folder) || !tree_open(&t, folder, false, NULL))
        return false;
    bool ok = store_list(&list, &t, NULL);
    for (int i = 0; ok && !found && i < list.n; i++) {
        const struct store_item *item = &list.item[i];
        if (item->file.device != f.device || item->file.inode != f.inode || !item->record.sha256[0])
            continue;
        found = true;
        memcpy(out, item->record.sha256, 65);
    }
    store_list_free(&list);
    tree_close(&t);
    return found;
}
