/* cmd_list.c: the models that are in the store; and one of them taken away. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/json_out.h"
#include "cli/store_choice.h"
#include "cli/units.h"

enum { STORE_DIR, JSON, N_OPTS };

static const struct opt options[N_OPTS] = {
    [STORE_DIR] = OPT_STORE_DIR_ROW,
    [JSON] = { .name = "json", .type = OPT_FLAG, .help = "print one JSON array" },
};

/* A store that is not there is an empty one. */
static bool open_store(struct tree *t, struct store_list *l, const struct opt_value *flag, hearth_error *err)
{
    char folder[TREE_PATH_BYTES];
    return store_choose(folder, flag, err) && tree_open(t, folder, true, err) && store_list(l, t, err);
}

static const char *state_of(const struct store_item *item)
{
    if (item->file.bytes == 0)
        return "gone";
    if (!item->has_record)
        return "no";
    if (!item->as_recorded)
        return "changed";
    if (item->record.path[0])
        return item->record.published ? "not read" : "no";
    return item->record.published ? "yes" : "own digest";
}

static void print_one(const struct store_item *item)
{
    char size[UNITS_BYTES];
    hearth_error err = { 0 };
    hearth_file_info info = { .architecture = "?", .types = "?" };
    hearth_file *file = hearth_file_open(&(hearth_source){ .path = item->path }, &err);
    if (file)
        hearth_file_describe(file, &info);
    printf("%-50s %9s  %-10s %-24.24s %-10s %s\n", item->name, text_of_bytes(size, item->file.bytes), info.architecture,
           info.types, state_of(item), item->has_record ? item->record.source : "");
    hearth_file_close(file);
}

static json_t *json_of(const struct store_item *item)
{
    hearth_error err = { 0 };
    hearth_file_info info = { .architecture = "", .types = "" };
    hearth_file *file = hearth_file_open(&(hearth_source){ .path = item->path }, &err);
    if (file)
        hearth_file_describe(file, &info);
    json_t *o = json_pack("{ss ss sI so so ss ss ss}", "name", item->name, "path", item->path, "bytes",
                          (json_int_t)item->file.bytes, "types", json_of_text(info.types), "architecture",
                          json_of_text(info.architecture), "source", item->record.source, "sha256",
                          item->record.sha256, "verified", state_of(item));
    hearth_file_close(file);
    return o;
}

static bool print_json(const struct store_list *l, hearth_error *err)
{
    json_t *list = json_array();
    bool ok = list != NULL;
    for (int i = 0; ok && i < l->n; i++)
        ok = json_array_append_new(list, json_of(&l->item[i])) == 0;
    if (!ok) {
        json_decref(list);
        return fail_memory(err, "the list of models");
    }
    return json_print(list, JSON_INDENT(2), "the list of models", err);
}

static int run_list(const struct args *a)
{
    struct tree t = { .fd = -1 };
    struct store_list list = { 0 };
    hearth_error err = { 0 };
    bool ok = open_store(&t, &list, &a->value[STORE_DIR], &err);
    if (ok && a->value[JSON].on)
        ok = print_json(&list, &err);
    for (int i = 0; ok && !a->value[JSON].on && i < list.n; i++)
        print_one(&list.item[i]);
    if (ok && list.n == 0)
        say("no models in %s; hearth pull hf:OWNER/REPO fetches one", t.path);
    store_list_free(&list);
    tree_close(&t);
    return ok ? EXIT_DONE : report(&err);
}

const struct command cmd_list = {
    .name = "list",
    .alias = "ls",
    .positionals = "",
    .summary = "the models that were pulled or imported",
    .about = "Name, size, architecture, types, whether it is as it was when its SHA-256 was right, and its source.\n"
             "Verified: yes (the hub named the digest), own digest (nobody published one), changed (size, time or\n"
             "file is another since), not read (imported: the other program names a digest, and nobody has held the\n"
             "file against it yet), no (nothing is known of it). hearth verify reads all of a file again.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run_list,
};

static const struct opt rm_options[] = { OPT_STORE_DIR_ROW };

/* The record last: a file without one is still seen, a record without a file is nothing. */
static bool take_away(const struct tree *t, const char *name, hearth_error *err)
{
    char part[PARTIAL_NAME_BYTES], note[PARTIAL_NAME_BYTES];
    return tree_remove(t, name, err) && record_remove(t, name, err) && partial_names(name, part, note, err)
        && tree_remove(t, part, err) && tree_remove(t, note, err);
}

static int run_rm(const struct args *a)
{
    struct tree t = { .fd = -1 };
    struct store_list list = { 0 };
    hearth_error err = { 0 };
    int index = -1, found = -1;
    if (a->n_words == 0)
        return usage_error(&cmd_rm, "which model? hearth list has their names");
    if (open_store(&t, &list, &a->value[0], &err))
        found = store_find(&list, a->word[0], &index, &err);
    if (found == 0)
        fail(&err, HEARTH_ERR_USAGE, "%.200s is not in %s; hearth list has the names", a->word[0], t.path);
    bool ok = found == 1 && take_away(&t, list.item[index].name, &err);
    if (ok)
        say("%s is gone from %s", list.item[index].name, t.path);
    store_list_free(&list);
    tree_close(&t);
    return ok ? EXIT_DONE : report(&err);
}

const struct command cmd_rm = {
    .name = "rm",
    .positionals = "NAME",
    .max_words = 1,
    .summary = "remove a pulled model from the disk; of an imported one only its name",
    .opts = rm_options,
    .n_opts = ARRAY_LEN(rm_options),
    .run = run_rm,
};
