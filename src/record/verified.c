#include "record/verified.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/state_dir.h"

enum { REPORT_MAX_BYTES = 1 << 20, PATH_BYTES = STATE_DIR_BYTES + 128 };
static const char folder[] = "verified";

/* The identity is made of hexadecimal digits and a number; anything else is no name of ours. */
static bool path_of(const char *dir, const char *identity, char out[PATH_BYTES])
{
    size_t n = strspn(identity, "0123456789abcdef-");
    if (n == 0 || identity[n])
        return false;
    int length = snprintf(out, PATH_BYTES, "%s/%s.json", dir, identity);
    return length > 0 && length < PATH_BYTES;
}

static int put_piece(const char *bytes, size_t n, void *writer)
{
    file_write(writer, bytes, n); /* a failure is kept until the end */
    return 0;
}

bool verified_keep(const json_t *report, hearth_error *err)
{
    char dir[STATE_DIR_BYTES], path[PATH_BYTES];
    struct file_writer w;
    const char *identity = json_string_value(json_object_get(report, "identity"));
    if (!state_dir_make(folder, dir, err))
        return false;
    if (!identity || !path_of(dir, identity, path))
        return fail(err, HEARTH_ERR_USAGE, "the report has no identity to be kept under");
    if (!file_writer_open_private(&w, path, err))
        return false;
    if (json_dump_callback(report, put_piece, &w, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) != 0) {
        file_writer_abort(&w);
        return fail_memory(err, "the report");
    }
    put_piece("\n", 1, &w);
    return file_writer_commit(&w, err);
}

static int count(const json_t *report, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(report, key));
    return n < 0 ? 0 : n > 1000000 ? 1000000 : (int)n;
}

static void copy(char *out, size_t room, const json_t *report, const char *key)
{
    const char *text = json_string_value(json_object_get(report, key));
    snprintf(out, room, "%s", text ? text : "");
}

static bool same(const json_t *report, const char *key, const char *text)
{
    const char *kept = json_string_value(json_object_get(report, key));
    return kept && strcmp(kept, text) == 0;
}

bool verified_read(const char *identity, bool (*digest)(void *arg, char out[65]), void *arg, struct verified *out)
{
    char dir[STATE_DIR_BYTES], path[PATH_BYTES], now[65];
    char *text = NULL;
    size_t n = 0;
    *out = (struct verified){ .bits_per_byte = -1 };
    if (!state_dir_path(folder, dir) || !path_of(dir, identity, path)
        || !file_read(path, REPORT_MAX_BYTES, &text, &n, NULL))
        return false;
    json_t *report = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    mem_free(text);
    const json_t *bits = json_object_get(report, "bits_per_byte");
    if (same(report, "identity", identity) && digest(arg, now) && same(report, "digest", now)) {
        out->known = true;
        out->ok = json_is_true(json_object_get(report, "ok"));
        out->arithmetic_revision = count(report, "arithmetic_revision");
        out->n_problems = count(report, "n_problems");
        out->n_warnings = count(report, "n_warnings");
        copy(out->at, sizeof out->at, report, "at");
        copy(out->version, sizeof out->version, report, "version");
        if (json_is_number(bits))
            out->bits_per_byte = json_number_value(bits);
    }
    json_decref(report);
    return out->known;
}

json_t *verified_json(const struct verified *v)
{
    if (!v->known)
        return json_null();
    return json_pack("{s:b, s:s, s:s, s:i, s:i, s:i, s:o}", "ok", v->ok, "at", v->at, "version", v->version,
                     "arithmetic_revision", v->arithmetic_revision, "problems", v->n_problems, "warnings",
                     v->n_warnings, "bits_per_byte",
                     v->bits_per_byte >= 0 ? json_real(v->bits_per_byte) : json_null());
}
