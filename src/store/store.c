#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/env.h"

bool store_usual_place(char out[TREE_PATH_BYTES])
{
    const char *xdg = env_system("XDG_DATA_HOME"), *home = env_system("HOME");
    int n = -1;
    if (xdg && xdg[0] == '/') /* others are to be ignored: XDG Base Directory Specification */
        n = snprintf(out, TREE_PATH_BYTES, "%s/hearth/models", xdg);
    else if (home && home[0] == '/')
        n = snprintf(out, TREE_PATH_BYTES, "%s/.local/share/hearth/models", home);
    return n > 0 && n < TREE_PATH_BYTES;
}

/* ---- the list ---- */

enum { MOST_ITEMS = 20000 };

struct store_item *store_add(struct store_list *l, const char *name)
{
    if (l->n == l->room && !l->failed) {
        int room = l->room ? 2 * l->room : 32;
        struct store_item *more = room <= MOST_ITEMS ? mem_resize(l->item, (size_t)room * sizeof *more) : NULL;
        l->failed = !more;
        l->item = more ? more : l->item;
        l->room = more ? room : l->room;
    }
    if (l->failed || strlen(name) >= STORE_NAME_BYTES)
        return NULL;
    struct store_item *item = &l->item[l->n++];
    *item = (struct store_item){ .file = { .fd = -1 } };
    strcpy(item->name, name);
    return item;
}

static bool has_end(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n > m && strcmp(name + n - m, end) == 0;
}

static void see_file(void *arg, const char *name, const struct tree_file *f)
{
    struct store_item *item = has_end(name, ".gguf") ? store_add(arg, name) : NULL;
    if (item)
        item->file = *f;
}

/* "records/import/NAME.gguf.json" */
static void see_import(void *arg, const char *name, const struct tree_file *f)
{
    char file[TREE_NAME_BYTES];
    (void)f;
    if (!has_end(name, ".gguf.json"))
        return;
    snprintf(file, sizeof file, "%s", name + sizeof "records/" - 1);
    file[strlen(file) - 5] = 0;
    store_add(arg, file);
}

static void fill(struct store_item *item, const struct tree *t)
{
    item->has_record = record_find(t, item->name, &item->record, NULL) == 1;
    if (item->has_record && item->record.path[0]) {
        snprintf(item->path, sizeof item->path, "%s", item->record.path);
        if (!tree_file_outside(item->path, &item->file))
            item->file = (struct tree_file){ .fd = -1 };
    } else {
        snprintf(item->path, sizeof item->path, "%s/%s", t->path, item->name);
    }
    item->as_recorded = item->has_record && record_is_of(&item->record, &item->file);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct store_item *)a)->name, ((const struct store_item *)b)->name);
}

void store_sort(struct store_list *l)
{
    if (l->n)
        qsort(l->item, (size_t)l->n, sizeof *l->item, by_name);
}

bool store_list(struct store_list *out, const struct tree *t, hearth_error *err)
{
    static const char *const folders[] = { "hf", "ollama", "url" };
    *out = (struct store_list){ 0 };
    bool ok = true;
    for (size_t i = 0; ok && i < ARRAY_LEN(folders); i++)
        ok = tree_look(t, folders[i], see_file, out, err);
    ok = ok && tree_look(t, "records/import", see_import, out, err);
    if (ok && out->failed)
        ok = fail_memory(err, "the list of models");
    for (int i = 0; ok && i < out->n; i++)
        fill(&out->item[i], t);
    if (ok)
        store_sort(out);
    else
        store_list_free(out);
    return ok;
}

void store_list_free(struct store_list *l)
{
    mem_free(l->item);
    *l = (struct store_list){ 0 };
}

/* ---- finding ---- */

static int index_of(const struct store_list *l, const char *name)
{
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->item[i].name, name) == 0)
            return i;
    return -1;
}

static int find_hf(const struct store_list *l, const struct reference *r, const char *folder, int *index,
                   hearth_error *err)
{
    char from[STORE_NAME_BYTES];
    struct choice choice;
    hearth_error why = { 0 };
    int n = 0, found = 0;
    size_t n_folder = strlen(folder);
    const char **names = mem_alloc(((size_t)l->n + 1) * sizeof *names);
    if (!names) {
        fail_memory(err, "the list of models");
        return -1;
    }
    for (int i = 0; i < l->n; i++)
        if (strncmp(l->item[i].name, folder, n_folder) == 0 && l->item[i].name[n_folder] == '/')
            names[n++] = l->item[i].name + n_folder + 1;
    snprintf(from, sizeof from, "hf:%s/%s", r->owner, r->name);
    if (n > 0 && reference_choose(&choice, r->which, from, names, n, &why)) {
        snprintf(from, sizeof from, "%s/%.300s", folder, names[choice.index[0]]);
        *index = index_of(l, from);
        found = *index >= 0;
    } else if (n > 0 && !*r->which && why.status == HEARTH_ERR_USAGE) {
        found = -1; /* several are there */
        if (err)
            *err = why;
    }
    mem_free(names);
    return found;
}

/* "qwen3-0.6b-q8_0" for ".../Qwen3-0.6B-Q8_0.gguf" is not the same: letters count. */
static bool is_last_part(const char *name, const char *text)
{
    const char *slash = strrchr(name, '/');
    const char *last = slash ? slash + 1 : name;
    size_t n = strlen(text);
    return strncmp(last, text, n) == 0 && (!last[n] || strcmp(last + n, ".gguf") == 0);
}

static int find_last_part(const struct store_list *l, const char *text, int *index, hearth_error *err)
{
    struct buf list = { 0 };
    int n = 0;
    for (int i = 0; i < l->n; i++) {
        if (!is_last_part(l->item[i].name, text))
            continue;
        if (n++ < 6)
            buf_printf(&list, "%s%s", n > 1 ? ", " : "", l->item[i].name);
        *index = i;
    }
    if (n > 1)
        fail(err, HEARTH_ERR_USAGE, "%.100s may be %d models of the store; name one in full: %.600s", text, n,
             list.failed ? "" : list.ptr);
    buf_free(&list);
    return n > 1 ? -1 : n;
}

/* What was pulled, else what another program has fetched and was imported. */
static int find_reference(const struct store_list *l, const char *text, int *index, hearth_error *err)
{
    static const char *const before[] = { "", "import/" };
    struct reference r;
    char name[STORE_NAME_BYTES], full[STORE_NAME_BYTES + 8];
    if (!reference_read(&r, text, err))
        return -1;
    reference_store_name(&r, name);
    int found = 0;
    for (size_t i = 0; found == 0 && i < ARRAY_LEN(before); i++) {
        snprintf(full, sizeof full, "%s%s", before[i], name);
        found = r.kind == REFERENCE_HF ? find_hf(l, &r, full, index, err) : (*index = index_of(l, full)) >= 0;
    }
    return found;
}

int store_find(const struct store_list *l, const char *text, int *index, hearth_error *err)
{
    char name[STORE_NAME_BYTES];
    *index = -1;
    if (reference_is_one(text))
        return find_reference(l, text, index, err);
    if ((*index = index_of(l, text)) >= 0)
        return 1;
    if ((size_t)snprintf(name, sizeof name, "%s.gguf", text) < sizeof name && (*index = index_of(l, name)) >= 0)
        return 1;
    return strchr(text, '/') ? 0 : find_last_part(l, text, index, err);
}
