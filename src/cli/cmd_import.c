/* cmd_import.c: models that are elsewhere already, under names of the store. They stay where they are. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/store_choice.h"

static const struct opt options[] = { OPT_STORE_DIR_ROW };

/* Ollama's blobs are named by their digest. */
static void digest_of_name(const char *last, char out[65])
{
    bool is = strncmp(last, "sha256-", 7) == 0 && hub_is_sha256(last + 7);
    snprintf(out, 65, "%s", is ? last + 7 : "");
}

static bool name_of(const char *last, char out[STORE_NAME_BYTES], hearth_error *err)
{
    size_t n = strlen(last);
    bool ended = n > 5 && strcmp(last + n - 5, ".gguf") == 0;
    if ((size_t)snprintf(out, STORE_NAME_BYTES, "import/%s%s", last, ended ? "" : ".gguf") < STORE_NAME_BYTES
        && tree_name_is_good(out))
        return true;
    return fail(err, HEARTH_ERR_USAGE, "'%.100s' cannot be a name in the store: it has another character than letters, "
                "digits and \"._+=@,~-\", begins with a dot or is too long; give the file a link with a simpler name",
                last);
}

static bool import(const struct tree *t, const char *path, hearth_error *err)
{
    char name[STORE_NAME_BYTES];
    struct record r = { .source = "import" }, was;
    struct tree_file f;
    const char *slash = strrchr(path, '/');
    if (!file_real_path(path, r.path, sizeof r.path) || !tree_file_outside(r.path, &f))
        return fail(err, HEARTH_ERR_IO, "%.200s is no file that can be read; check the path", path);
    if (!name_of(slash ? slash + 1 : path, name, err))
        return false;
    hearth_file *file = hearth_file_open(&(hearth_source){ .path = r.path }, err);
    if (!file)
        return false;
    hearth_file_close(file);
    const char *real = strrchr(r.path, '/');
    digest_of_name(real ? real + 1 : r.path, r.sha256);
    r.published = r.sha256[0] != 0;
    r.bytes = f.bytes;
    r.inode = f.inode;
    r.mtime_ns = f.mtime_ns;
    clock_utc(r.when);
    int found = record_find(t, name, &was, err);
    if (found < 0)
        return false;
    if (found == 1 && strcmp(was.path, r.path) != 0)
        return fail(err, HEARTH_ERR_USAGE, "%s is %.200s already; hearth rm %s, and import again", name,
                    was.path, name);
    if (!record_write(t, name, &r, err))
        return false;
    printf("%s\n", name);
    return true;
}

static int run(const struct args *a)
{
    char folder[TREE_PATH_BYTES];
    struct tree t = { .fd = -1 };
    hearth_error err = { 0 };
    if (a->n_words == 0)
        return usage_error(&cmd_import, "which files? Give paths of .gguf files");
    bool ok = store_choose(folder, &a->value[0], &err) && tree_open(&t, folder, true, &err);
    for (int i = 0; ok && i < a->n_words; i++)
        ok = import(&t, a->word[i], &err);
    tree_close(&t);
    return ok ? EXIT_DONE : report(&err);
}

const struct command cmd_import = {
    .name = "import",
    .positionals = "PATH...",
    .max_words = WORDS_MAX,
    .summary = "give models that are here already a name in the store; they stay where they are",
    .about = "Notes where each file is, under import/ and its own name; nothing is copied, and hearth rm takes the\n"
             "note away, not the file. A blob of Ollama (sha256-...) is known by the digest that it is named by.\n",
    .opts = options,
    .n_opts = ARRAY_LEN(options),
    .run = run,
};
