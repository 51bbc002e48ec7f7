/* cmd_import.c: models that are elsewhere already, under names of the store. They stay where they are. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/json_out.h"
#include "cli/store_choice.h"
#include "cli/units.h"
#include "store/caches.h"

enum { STORE_DIR, FIND, ALL, JSON, N_OPTS };

static const struct opt options[N_OPTS] = {
    [STORE_DIR] = OPT_STORE_DIR_ROW,
    [FIND] = { .name = "find", .type = OPT_FLAG,
               .help = "look for models in the caches of Ollama, LM Studio, Hugging Face's tools and llama.cpp; list "
                       "them, or import those that are named (as listed, or the last part)" },
    [ALL] = { .name = "all", .type = OPT_FLAG, .help = "with --find: import all of them" },
    [JSON] = { .name = "json", .type = OPT_FLAG, .help = "with --find: print one JSON array" },
};

/* ---- one file ---- */

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

/* Of a split set the other parts cannot be opened by themselves. */
static bool is_model(const char *path, hearth_error *err)
{
    if (!reference_is_first(path))
        return true;
    hearth_file *file = hearth_file_open(&(hearth_source){ .path = path }, err);
    hearth_file_close(file);
    return file != NULL;
}

static bool note(const struct tree *t, const char *name, const struct store_record *r, hearth_error *err)
{
    if (!is_model(r->path, err) || !record_write(t, name, r, err))
        return false;
    printf("%s\n", name);
    return true;
}

static bool import_path(const struct tree *t, const char *path, hearth_error *err)
{
    char name[STORE_NAME_BYTES];
    struct store_record r = { .source = "import" }, was;
    struct tree_file f;
    const char *slash = strrchr(path, '/');
    if (!file_real_path(path, r.path, sizeof r.path) || !tree_file_outside(r.path, &f))
        return fail(err, HEARTH_ERR_IO, "%.200s is no file that can be read; check the path", path);
    if (!name_of(slash ? slash + 1 : path, name, err))
        return false;
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
    return note(t, name, &r, err);
}

static int import_paths(const struct tree *t, const struct args *a, hearth_error *err)
{
    bool ok = true;
    for (int i = 0; ok && i < a->n_words; i++)
        ok = import_path(t, a->word[i], err);
    return ok ? EXIT_DONE : report(err);
}

/* ---- what other programs have ---- */

static bool is_imported(const struct tree *t, const struct store_item *item)
{
    struct store_record was;
    return record_find(t, item->name, &was, NULL) == 1 && strcmp(was.path, item->record.path) == 0
        && record_is_of(&was, &item->file);
}

static void say_places(const struct cache_report *r)
{
    for (int i = 0; i < r->n; i++) {
        const struct cache_place *p = &r->place[i];
        if (p->problem[0])
            say("%s: %s", p->kind, p->problem);
        else if (p->is_there)
            say("%s: %d found in %s", p->kind, p->n_found, p->path);
        if (p->n_left_out)
            say("%s: %d left out: what is no whole model file, has a name that cannot be one of the store, or is a "
                "link that leads elsewhere; hearth import PATH takes single files", p->kind, p->n_left_out);
        if (p->n_older)
            say("%s: of %d there is a newer version, which is listed", p->kind, p->n_older);
    }
}

static bool list_json(const struct tree *t, const struct store_list *l, hearth_error *err)
{
    json_t *list = json_array();
    bool ok = list != NULL;
    for (int i = 0; ok && i < l->n; i++) {
        const struct store_item *item = &l->item[i];
        json_t *o = json_pack("{ss so sI ss ss sb}", "name", item->name, "path", json_of_text(item->path), "bytes",
                              (json_int_t)item->file.bytes, "source", item->record.source, "sha256",
                              item->record.sha256, "imported", (int)is_imported(t, item));
        ok = json_array_append_new(list, o) == 0;
    }
    if (ok)
        return json_print(list, JSON_INDENT(2), "the list of models", err);
    json_decref(list);
    return fail_memory(err, "the list of models");
}

static void list_found(const struct tree *t, const struct store_list *l, const struct cache_report *r)
{
    char size[UNITS_BYTES];
    for (int i = 0; i < l->n; i++)
        printf("%-60s %9s  %-9s %s\n", l->item[i].name, text_of_bytes(size, l->item[i].file.bytes),
               is_imported(t, &l->item[i]) ? "imported" : "", l->item[i].record.source);
    say_places(r);
    if (l->n)
        say("hearth import --find NAME... gives them names in the store, --all does so for all; they stay where they "
            "are");
    else
        say("no models of other programs were found");
}

/* One that cannot be read does not keep the others from being imported. */
static int import_found(const struct tree *t, const struct store_list *l, const struct args *a, hearth_error *err)
{
    int code = EXIT_DONE;
    for (int i = 0; a->value[ALL].on && i < l->n; i++)
        if (!note(t, l->item[i].name, &l->item[i].record, err))
            code = report(err);
    for (int i = 0; i < a->n_words; i++) {
        int index, found = store_find(l, a->word[i], &index, err);
        if (found == 0)
            fail(err, HEARTH_ERR_USAGE, "%.200s is not among what hearth import --find lists", a->word[i]);
        if (found != 1 || !note(t, l->item[index].name, &l->item[index].record, err))
            code = report(err);
    }
    return code;
}

static int find(const struct tree *t, const struct args *a, hearth_error *err)
{
    struct store_list list;
    struct cache_report looked;
    int code = EXIT_DONE;
    if (!caches_look(&list, &looked, err))
        return report(err);
    if (a->value[ALL].on || a->n_words > 0)
        code = import_found(t, &list, a, err);
    else if (!a->value[JSON].on)
        list_found(t, &list, &looked);
    else if (!list_json(t, &list, err))
        code = report(err);
    store_list_free(&list);
    return code;
}

static int run(const struct args *a)
{
    const struct opt_value *v = a->value;
    char folder[TREE_PATH_BYTES];
    struct tree t = { .fd = -1 };
    hearth_error err = { 0 };
    if (!v[FIND].on && (v[ALL].on || v[JSON].on))
        return usage_error(&cmd_import, "--all and --json go with --find");
    if (!v[FIND].on && a->n_words == 0)
        return usage_error(&cmd_import, "which files? Give paths of .gguf files, or --find to see what other programs "
                           "have");
    if (v[ALL].on && a->n_words > 0)
        return usage_error(&cmd_import, "--all imports everything that is found; leave it or the names away");
    bool ok = store_choose(folder, &v[STORE_DIR], &err) && tree_open(&t, folder, true, &err);
    int code = !ok ? report(&err) : v[FIND].on ? find(&t, a, &err) : import_paths(&t, a, &err);
    tree_close(&t);
    return code;
}

const struct command cmd_import = {
    .name = "import",
    .positionals = "[PATH|NAME]...",
    .max_words = WORDS_MAX,
    .summary = "give models that are here already a name in the store; they stay where they are",
    .about = "Notes where each file is, under import/ and its own name; nothing is copied, and hearth rm takes the\n"
             "note away, not the file. A blob of Ollama (sha256-...) is known by the digest that it is named by.\n"
             "\n"
             "--find looks through what Ollama, LM Studio, Hugging Face's tools and llama.cpp have fetched\n"
             "(OLLAMA_MODELS, HF_HUB_CACHE, HF_HOME, LLAMA_CACHE and XDG_CACHE_HOME say where; hearth env). What is\n"
             "imported of Ollama and Hugging Face is found by its reference, too: hearth run ollama:NAME:TAG.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
