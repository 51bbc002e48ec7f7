#include "store/records.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/sha256.h"

enum { FORMAT = 1, RECORD_NAME_BYTES = TREE_NAME_BYTES };

/* ---- JSON ---- */

static bool take_text(json_t *o, const char *key, char *out, size_t room)
{
    json_t *j = json_object_get(o, key);
    const char *text = json_string_value(j);
    size_t n = json_string_length(j);
    out[0] = 0;
    if (!text || n >= room || strlen(text) != n)
        return false;
    memcpy(out, text, n + 1);
    return true;
}

static bool take_count(json_t *o, const char *key, uint64_t *out)
{
    json_t *j = json_object_get(o, key);
    *out = (uint64_t)json_integer_value(j);
    return json_is_integer(j) && json_integer_value(j) >= 0;
}

/* An object of this format; NULL: none. Ours are flat, so depth needs no limit but that of the length. */
static json_t *read_object(struct str json)
{
    if (json.len > RECORD_MOST_BYTES)
        return NULL;
    json_t *o = json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES, NULL);
    if (json_integer_value(json_object_get(o, "format")) == FORMAT)
        return o;
    json_decref(o);
    return NULL;
}

static bool sha_or_none(const char *text) { return !*text || hub_is_sha256(text); }

bool record_read(struct store_record *out, struct str json)
{
    json_t *o = read_object(json);
    uint64_t mtime = 0;
    *out = (struct store_record){ 0 };
    bool ok = o && take_text(o, "source", out->source, sizeof out->source)
           && take_text(o, "url", out->url, sizeof out->url) && take_text(o, "path", out->path, sizeof out->path)
           && take_text(o, "sha256", out->sha256, sizeof out->sha256) && sha_or_none(out->sha256)
           && take_text(o, "when", out->when, sizeof out->when) && take_count(o, "bytes", &out->bytes)
           && take_count(o, "inode", &out->inode) && take_count(o, "mtime_ns", &mtime)
           && (!*out->path || out->path[0] == '/');
    out->mtime_ns = (int64_t)mtime;
    out->published = ok && json_is_true(json_object_get(o, "published"));
    json_decref(o);
    return ok;
}

bool partial_read(struct partial *out, struct str json)
{
    json_t *o = read_object(json);
    *out = (struct partial){ 0 };
    bool ok = o && take_text(o, "name", out->name, sizeof out->name) && take_text(o, "url", out->url, sizeof out->url)
           && take_text(o, "etag", out->etag, sizeof out->etag) && strpbrk(out->etag, " \t\r\n") == NULL
           && take_text(o, "sha256", out->sha256, sizeof out->sha256) && sha_or_none(out->sha256)
           && take_text(o, "boot", out->boot, sizeof out->boot) && take_count(o, "bytes", &out->bytes)
           && take_count(o, "certain", &out->certain);
    json_decref(o);
    return ok;
}

/* o is stolen. */
static bool write_json(const struct tree *t, const char *name, json_t *o, hearth_error *err)
{
    char *text = o ? json_dumps(o, JSON_INDENT(1)) : NULL;
    bool ok = text ? tree_write(t, name, text, strlen(text), err) : fail_memory(err, "a record");
    json_decref(o);
    mem_free(text); /* jansson allocates through base/alloc.h (main.c) */
    return ok;
}

/* 1 when reading says so. */
static int find_json(const struct tree *t, const char *name, char **text, size_t *n, hearth_error *err)
{
    hearth_error why = { 0 };
    int found = tree_read(t, name, RECORD_MOST_BYTES, text, n, &why);
    if (found < 0 && why.status == HEARTH_ERR_USAGE)
        return 0; /* none of ours is so long */
    if (found < 0 && err)
        *err = why;
    return found;
}

/* ---- records ---- */

static void record_name(const char *name, char out[RECORD_NAME_BYTES])
{
    snprintf(out, RECORD_NAME_BYTES, "records/%.*s.json", STORE_NAME_BYTES, name);
}

int record_find(const struct tree *t, const char *name, struct store_record *out, hearth_error *err)
{
    char file[RECORD_NAME_BYTES], *text = NULL;
    size_t n;
    record_name(name, file);
    int found = find_json(t, file, &text, &n, err);
    if (found == 1 && !record_read(out, (struct str){ text, n }))
        found = 0;
    if (found != 1)
        *out = (struct store_record){ 0 };
    mem_free(text);
    return found;
}

bool record_write(const struct tree *t, const char *name, const struct store_record *r, hearth_error *err)
{
    char file[RECORD_NAME_BYTES];
    record_name(name, file);
    return write_json(t, file, json_pack("{si ss ss ss ss sb sI sI sI ss}", "format", FORMAT, "source", r->source,
                                         "url", r->url, "path", r->path, "sha256", r->sha256, "published",
                                         (int)r->published, "bytes", (json_int_t)r->bytes, "inode",
                                         (json_int_t)(r->inode & INT64_MAX), "mtime_ns", (json_int_t)r->mtime_ns,
                                         "when", r->when), err);
}

bool record_remove(const struct tree *t, const char *name, hearth_error *err)
{
    char file[RECORD_NAME_BYTES];
    record_name(name, file);
    return tree_remove(t, file, err);
}

bool record_is_of(const struct store_record *r, const struct tree_file *f)
{
    return r->bytes == f->bytes && r->mtime_ns == f->mtime_ns && r->inode == (f->inode & INT64_MAX);
}

/* ---- what is not whole yet ---- */

bool partial_names(const char *name, char part[PARTIAL_NAME_BYTES], char note[PARTIAL_NAME_BYTES], hearth_error *err)
{
    char hex[65];
    struct sha256 *s = sha256_new();
    if (!s)
        return fail_memory(err, "a key");
    sha256_add(s, name, strlen(name));
    sha256_hex(s, hex);
    sha256_free(s);
    snprintf(part, PARTIAL_NAME_BYTES, "partial/%.32s.part", hex);
    snprintf(note, PARTIAL_NAME_BYTES, "partial/%.32s.json", hex);
    return true;
}

int partial_find(const struct tree *t, const char *note, struct partial *out, hearth_error *err)
{
    char *text = NULL;
    size_t n;
    int found = find_json(t, note, &text, &n, err);
    if (found == 1 && !partial_read(out, (struct str){ text, n }))
        found = 0;
    if (found != 1)
        *out = (struct partial){ 0 };
    mem_free(text);
    return found;
}

bool partial_write(const struct tree *t, const char *note, const struct partial *p, hearth_error *err)
{
    return write_json(t, note, json_pack("{si ss ss ss ss ss sI sI}", "format", FORMAT, "name", p->name, "url", p->url,
                                         "etag", p->etag, "sha256", p->sha256, "boot", p->boot, "bytes",
                                         (json_int_t)p->bytes, "certain", (json_int_t)p->certain), err);
}

void partial_boot(char out[64])
{
    char *text = NULL;
    size_t n = 0;
    out[0] = 0;
    if (!file_read("/proc/sys/kernel/random/boot_id", 4096, &text, &n, NULL))
        return;
    text[strcspn(text, "\n")] = 0;
    if (strlen(text) < 64 && strspn(text, "0123456789abcdef-") == strlen(text))
        strcpy(out, text);
    mem_free(text);
}
