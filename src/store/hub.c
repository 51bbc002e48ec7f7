#include "store/hub.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/tree.h"
#include "store/foreign.h"

bool hub_is_sha256(const char *text) { return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64; }

void hub_set_free(struct hub_set *s)
{
    mem_free(s->file);
    *s = (struct hub_set){ 0 };
}

static bool make_set(struct hub_set *out, int n, hearth_error *err)
{
    *out = (struct hub_set){ .file = mem_alloc((size_t)n * sizeof *out->file), .n = n };
    return out->file || fail_memory(err, "the list of files");
}

/* Nesting is what costs a parser its stack: counted before it begins, texts left out. */
static bool is_too_deep(struct str s)
{
    int depth = 0;
    bool in_text = false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (in_text) {
            i += c == '\\';
            in_text = c != '"';
        } else if (c == '"') {
            in_text = true;
        } else if ((c == '[' || c == '{') && ++depth > HUB_MOST_DEPTH) {
            return true;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return false;
}

static json_t *read_json(struct str answer, const char *from, hearth_error *err)
{
    json_error_t where;
    uint64_t refused = mem_n_refused();
    if (answer.len > HUB_MOST_BYTES || is_too_deep(answer)) {
        fail(err, HEARTH_ERR_FORMAT, "%.170s: the hub's answer is longer or deeper than any list of files; is the "
             "address (--hub) right?", from);
        return NULL;
    }
    json_t *j = json_loadb(answer.ptr, answer.len, JSON_REJECT_DUPLICATES, &where);
    if (mem_n_refused() != refused) {
        json_decref(j);
        fail_memory(err, "the hub's answer");
        return NULL;
    }
    if (!j) {
        char said[100];
        fail(err, HEARTH_ERR_FORMAT, "%.170s: the hub's answer is no JSON (line %d: %s); is the address (--hub) right?",
             from, where.line, foreign_line(said, sizeof said, str_z(where.text)));
    }
    return j;
}

static bool take_size(json_t *j, uint64_t *out)
{
    json_int_t n = json_integer_value(j);
    *out = (uint64_t)n;
    return json_is_integer(j) && n > 0 && (uint64_t)n <= HUB_MOST_FILE_BYTES;
}

/* ---- Hugging Face ---- */

/* Each file of the list whose name can be one in the store: the rest (a README with a space in it) is not for us. */
static bool is_file(json_t *entry, const char **path)
{
    json_t *name = json_object_get(entry, "path"), *type = json_object_get(entry, "type");
    uint64_t bytes;
    *path = json_string_value(name);
    return *path && json_string_length(name) == strlen(*path) && strlen(*path) < STORE_NAME_BYTES / 2
        && tree_name_is_good(*path) && (!type || (json_is_string(type) && strcmp(json_string_value(type), "file") == 0))
        && take_size(json_object_get(entry, "size"), &bytes);
}

static void fill_hf(struct hub_file *f, const struct reference *r, const char *hub, json_t *entry)
{
    const char *path = json_string_value(json_object_get(entry, "path"));
    const char *oid = json_string_value(json_object_get(json_object_get(entry, "lfs"), "oid"));
    snprintf(f->name, sizeof f->name, "hf/%s/%s/%s", r->owner, r->name, path);
    snprintf(f->url, sizeof f->url, "%s/%s/%s/resolve/main/%s", hub, r->owner, r->name, path);
    take_size(json_object_get(entry, "size"), &f->bytes);
    if (oid && hub_is_sha256(oid))
        strcpy(f->sha256, oid);
}

static bool choose_hf(struct hub_set *out, const struct reference *r, const char *hub, json_t *list, hearth_error *err)
{
    char from[2 * REFERENCE_PART_BYTES + 8];
    size_t n_all = json_array_size(list);
    int n = 0;
    struct choice choice;
    const char **names = mem_alloc((n_all + 1) * sizeof *names);
    json_t **entries = mem_alloc((n_all + 1) * sizeof *entries);
    bool ok = (names && entries) || fail_memory(err, "the list of files");
    for (size_t i = 0; ok && i < n_all; i++)
        if (is_file(json_array_get(list, i), &names[n]))
            entries[n++] = json_array_get(list, i);
    snprintf(from, sizeof from, "hf:%s/%s", r->owner, r->name);
    ok = ok && reference_choose(&choice, r->which, from, names, n, err) && make_set(out, choice.n, err);
    for (int i = 0; ok && i < choice.n; i++)
        fill_hf(&out->file[i], r, hub, entries[choice.index[i]]);
    mem_free(names);
    mem_free(entries);
    return ok;
}

static bool add_page(json_t *list, const struct reference *r, struct str page, hearth_error *err)
{
    json_t *j = read_json(page, r->text, err);
    bool ok = j != NULL;
    if (ok && !json_is_array(j))
        ok = fail(err, HEARTH_ERR_FORMAT, "%.170s: the hub's answer is no list of files; is the address (--hub) right?",
                  r->text);
    ok = ok && (json_array_extend(list, j) == 0 || fail_memory(err, "the hub's answer"));
    json_decref(j);
    return ok;
}

bool hub_read_hf(struct hub_set *out, const struct reference *r, const char *hub, const struct str *page, int n_pages,
                 hearth_error *err)
{
    *out = (struct hub_set){ 0 };
    json_t *list = json_array();
    bool ok = list || fail_memory(err, "the hub's answer");
    for (int i = 0; ok && i < n_pages; i++)
        ok = add_page(list, r, page[i], err);
    ok = ok && choose_hf(out, r, hub, list, err);
    json_decref(list);
    return ok;
}

/* ---- Ollama ---- */

static bool fill_ollama(struct hub_file *f, const struct reference *r, const char *hub, json_t *layer,
                        hearth_error *err)
{
    const char *digest = json_string_value(json_object_get(layer, "digest"));
    if (!digest || strncmp(digest, "sha256:", 7) != 0 || !hub_is_sha256(digest + 7)
        || !take_size(json_object_get(layer, "size"), &f->bytes))
        return fail(err, HEARTH_ERR_FORMAT, "%.170s: the manifest names a model without a SHA-256 and a size that can "
                    "be; nothing is fetched that cannot be checked", r->text);
    strcpy(f->sha256, digest + 7);
    reference_store_name(r, f->name);
    snprintf(f->url, sizeof f->url, "%s/v2/%s/%s/blobs/%s", hub, r->owner, r->name, digest);
    return true;
}

bool hub_read_ollama(struct hub_set *out, const struct reference *r, const char *hub, struct str answer,
                     hearth_error *err)
{
    *out = (struct hub_set){ 0 };
    json_t *j = read_json(answer, r->text, err), *layers = json_object_get(j, "layers"), *model = NULL;
    size_t n = json_array_size(layers);
    int n_models = 0;
    if (!j)
        return false;
    for (size_t i = 0; i < n && n <= HUB_MOST_LAYERS; i++) {
        const char *type = json_string_value(json_object_get(json_array_get(layers, i), "mediaType"));
        if (!type || strcmp(type, "application/vnd.ollama.image.model") != 0)
            continue;
        model = json_array_get(layers, i);
        n_models++;
    }
    bool ok = n_models == 1;
    if (!ok)
        fail(err, HEARTH_ERR_FORMAT, "%.170s: its manifest has %d models where one was looked for; only models of one "
             "GGUF file are taken", r->text, n_models);
    ok = ok && make_set(out, 1, err) && fill_ollama(&out->file[0], r, hub, model, err);
    if (!ok)
        hub_set_free(out);
    json_decref(j);
    return ok;
}

/* ---- an address ---- */

bool hub_of_url(struct hub_set *out, const struct reference *r, hearth_error *err)
{
    if (!make_set(out, 1, err))
        return false;
    reference_store_name(r, out->file[0].name);
    snprintf(out->file[0].url, sizeof out->file[0].url, "%s", r->url);
    out->file[0].bytes = UINT64_MAX;
    return true;
}
