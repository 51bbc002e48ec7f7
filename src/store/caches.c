#include "store/caches.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/env.h"
#include "base/file.h"

/* ---- the caches ---- */

struct cache;
struct looking {
    struct store_list *out;
    struct cache_place *place;
    const struct cache *cache;
    struct tree tree;
    char real[TREE_PATH_BYTES]; /* of the tree, without links */
};

static void see_manifest(void *arg, const char *name, const char *at, const struct tree_file *f);
static void see_plain(void *arg, const char *name, const char *at, const struct tree_file *f);
static void see_snapshot(void *arg, const char *name, const char *at, const struct tree_file *f);

/* Where a cache may be: below the folder that a variable names. alone: where that is set, it is nowhere else. */
struct place {
    const char *variable, *below; /* variable NULL: below is all of it */
    bool alone;
};

static const struct cache {
    const char *kind, *name; /* name: of its part of the store's names */
    const char *look_in;     /* "": all of it */
    void (*see)(void *arg, const char *name, const char *at, const struct tree_file *f);
    struct place place[6];
} caches[] = {
    { "Ollama", "ollama", "manifests", see_manifest,
      { { "OLLAMA_MODELS", "", true }, { "HOME", "/.ollama/models", false },
        { NULL, "/usr/share/ollama/.ollama/models", false } } },
    { "LM Studio", "lmstudio", "", see_plain,
      { { "HOME", "/.lmstudio/models", false }, { "HOME", "/.cache/lm-studio/models", false } } },
    { "Hugging Face", "hf", "", see_snapshot,
      { { "HF_HUB_CACHE", "", true }, { "HF_HOME", "/hub", true }, { "XDG_CACHE_HOME", "/huggingface/hub", true },
        { "HOME", "/.cache/huggingface/hub", false } } },
    { "llama.cpp", "llama.cpp", "", see_plain,
      { { "LLAMA_CACHE", "", true }, { "XDG_CACHE_HOME", "/llama.cpp", true },
        { "HOME", "/.cache/llama.cpp", false } } },
};

/* ---- one file ---- */

static bool is_gguf_name(const char *name)
{
    size_t n = strlen(name);
    return n > 5 && strcmp(name + n - 5, ".gguf") == 0;
}

static bool is_gguf(const struct tree *t, const char *at)
{
    struct tree_file f = { .fd = -1 };
    char magic[4];
    bool is = tree_file_open(t, at, &f, NULL) == 1 && f.bytes > sizeof magic
           && tree_file_get(&f, magic, sizeof magic, 0) && memcmp(magic, "GGUF", 4) == 0;
    tree_file_close(&f);
    return is;
}

static struct store_item *item_of(struct store_list *l, const char *name)
{
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->item[i].name, name) == 0)
            return &l->item[i];
    return NULL;
}

/* store: its name there. path: in the cache, to open it by; at: where the file itself is, of which f is what it looks
 * like. sha256: "": nobody says. */
static void add(struct looking *l, const char *store, const char *path, const char *at, const struct tree_file *f,
                const char *sha256)
{
    char full[TREE_PATH_BYTES];
    bool fits = snprintf(full, sizeof full, "%s/%s", l->real, path) < (int)sizeof full;
    if (!fits || strlen(store) >= STORE_NAME_BYTES || !tree_name_is_good(store) || !is_gguf(&l->tree, at)) {
        l->place->n_left_out++;
        return;
    }
    struct store_item *item = item_of(l->out, store);
    bool again = item != NULL;
    if (again && (item->file.inode != f->inode || item->file.device != f->device))
        l->place->n_older++;
    if (again && item->file.mtime_ns >= f->mtime_ns)
        return;
    item = again ? item : store_add(l->out, store);
    if (!item)
        return; /* the list says so */
    l->place->n_found += !again;
    snprintf(item->path, sizeof item->path, "%s", full);
    item->file = *f;
    item->has_record = item->as_recorded = true;
    item->record = (struct store_record){ .published = sha256[0] != 0, .bytes = f->bytes, .inode = f->inode,
                                    .mtime_ns = f->mtime_ns };
    snprintf(item->record.source, sizeof item->record.source, "import from %s", l->place->kind);
    snprintf(item->record.path, sizeof item->record.path, "%s", full);
    snprintf(item->record.sha256, sizeof item->record.sha256, "%s", sha256);
    clock_utc(item->record.when);
}

/* ---- as each cache has them ---- */

static void see_plain(void *arg, const char *name, const char *at, const struct tree_file *f)
{
    struct looking *l = arg;
    char store[TREE_NAME_BYTES + 32];
    if (!is_gguf_name(name))
        return;
    if (!at) {
        l->place->n_left_out++;
        return;
    }
    snprintf(store, sizeof store, "import/%s/%s", l->cache->name, name);
    add(l, store, name, at, f, "");
}

/* "models--OWNER--REPO/snapshots/REVISION/FILE": OWNER/REPO/FILE. */
static bool name_of_snapshot(const char *name, char out[TREE_NAME_BYTES + 32])
{
    static const char models[] = "models--", snapshots[] = "/snapshots/";
    const char *repo = name + sizeof models - 1, *slash = strchr(name, '/');
    if (strncmp(name, models, sizeof models - 1) != 0 || !slash
        || strncmp(slash, snapshots, sizeof snapshots - 1) != 0)
        return false;
    const char *file = strchr(slash + sizeof snapshots - 1, '/'), *dashes = strstr(repo, "--");
    if (!file || slash == repo)
        return false;
    if (!dashes || dashes > slash) /* a repository of nobody's, from the hub's first days */
        snprintf(out, TREE_NAME_BYTES + 32, "import/hf/%.*s%s", (int)(slash - repo), repo, file);
    else
        snprintf(out, TREE_NAME_BYTES + 32, "import/hf/%.*s/%.*s%s", (int)(dashes - repo), repo,
                 (int)(slash - dashes - 2), dashes + 2, file);
    return true;
}

/* The path is that of the link: it has the file's name, by which the parts of a set are found. */
static void see_snapshot(void *arg, const char *name, const char *at, const struct tree_file *f)
{
    struct looking *l = arg;
    char store[TREE_NAME_BYTES + 32];
    if (!is_gguf_name(name) || !name_of_snapshot(name, store))
        return;
    if (!at) {
        l->place->n_left_out++;
        return;
    }
    const char *blob = strrchr(at, '/');
    add(l, store, name, at, f, blob && hub_is_sha256(blob + 1) ? blob + 1 : "");
}

/* "manifests/HOST/USER/NAME/TAG" */
static bool read_manifest_name(const char *name, struct reference *r, char host[REFERENCE_PART_BYTES + 1])
{
    char *const part[] = { host, r->owner, r->name, r->which };
    const char *at = strchr(name, '/');
    for (size_t i = 0; i < ARRAY_LEN(part); i++) {
        size_t n = at ? strcspn(at + 1, "/") : 0;
        if (n == 0 || n > REFERENCE_PART_BYTES)
            return false;
        memcpy(part[i], at + 1, n);
        part[i][n] = 0;
        at = at[1 + n] ? at + 1 + n : NULL;
    }
    return !at;
}

static void see_manifest(void *arg, const char *name, const char *at, const struct tree_file *f)
{
    static const char usual_host[] = "registry.ollama.ai";
    struct looking *l = arg;
    struct reference r = { .kind = REFERENCE_OLLAMA };
    struct hub_set set = { 0 };
    struct tree_file blob = { .fd = -1 };
    char host[REFERENCE_PART_BYTES + 1], blob_name[80], model[STORE_NAME_BYTES], store[STORE_NAME_BYTES + 100];
    char *json = NULL;
    size_t n;
    (void)f;
    bool ok = at && read_manifest_name(name, &r, host) && tree_read(&l->tree, at, HUB_MOST_BYTES, &json, &n, NULL) == 1;
    snprintf(r.text, sizeof r.text, "%s", name);
    ok = ok && hub_read_ollama(&set, &r, "", (struct str){ json, n }, NULL);
    if (ok) {
        snprintf(blob_name, sizeof blob_name, "blobs/sha256-%s", set.file[0].sha256);
        ok = tree_file_open(&l->tree, blob_name, &blob, NULL) == 1 && blob.bytes == set.file[0].bytes;
        tree_file_close(&blob);
    }
    if (ok) {
        bool usual = strcmp(host, usual_host) == 0;
        reference_store_name(&r, model); /* "ollama/..." */
        snprintf(store, sizeof store, "import/ollama/%s%s%s", usual ? "" : host, usual ? "" : "/",
                 model + sizeof "ollama/" - 1);
        add(l, store, blob_name, blob_name, &blob, set.file[0].sha256);
    } else {
        l->place->n_left_out++;
    }
    hub_set_free(&set);
    mem_free(json);
}

/* ---- all of them ---- */

static void look_in(struct store_list *out, struct cache_place *place, const struct cache *c, const char *variable)
{
    struct looking l = { .out = out, .place = place, .cache = c, .tree = { .fd = -1 } };
    hearth_error err = { 0 };
    place->kind = c->kind;
    if (place->path[0] != '/') {
        snprintf(place->problem, sizeof place->problem, "%s is no absolute path: %.200s", variable, place->path);
        return;
    }
    if (!file_real_path(place->path, l.real, sizeof l.real))
        return;
    place->is_there = true;
    if (!tree_open(&l.tree, l.real, false, &err) || !tree_look_linked(&l.tree, c->look_in, c->see, &l, &err))
        snprintf(place->problem, sizeof place->problem, "%.*s", (int)sizeof place->problem - 1, err.message);
    tree_close(&l.tree);
}

bool caches_look(struct store_list *out, struct cache_report *r, hearth_error *err)
{
    *out = (struct store_list){ 0 };
    *r = (struct cache_report){ 0 };
    for (size_t i = 0; i < ARRAY_LEN(caches); i++) {
        for (const struct place *p = caches[i].place; p->below && r->n < CACHES_MOST_PLACES; p++) {
            struct cache_place *place = &r->place[r->n];
            const char *root = p->variable ? env_system(p->variable) : "";
            if (!root || snprintf(place->path, sizeof place->path, "%s%s", root, p->below) >= (int)sizeof place->path)
                continue;
            r->n++;
            look_in(out, place, &caches[i], p->variable);
            if (p->alone)
                break;
        }
    }
    store_sort(out);
    if (!out->failed)
        return true;
    store_list_free(out);
    return fail_memory(err, "the list of models");
}
