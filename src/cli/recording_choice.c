#include "cli/recording_choice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "cli/record_choice.h"
#include "record/recorded.h"

enum { RECORDING_MAX_BYTES = 512 << 20, NUMBERS_BYTES = 80 };

static bool read_file(struct recording *out, const char *path, hearth_error *err)
{
    char *text = NULL;
    size_t n = 0;
    json_error_t where;
    if (!file_read(path, RECORDING_MAX_BYTES, &text, &n, err))
        return false;
    json_t *json = json_loadb(text, n, JSON_REJECT_DUPLICATES, &where);
    mem_free(text);
    if (!json)
        return fail(err, HEARTH_ERR_FORMAT, "%.200s is no JSON (line %d: %.120s); `hearth export` writes recordings",
                    path, where.line, where.text);
    bool ok = recording_from_json(out, json, err) || err_context(err, "%.200s", path);
    json_decref(json);
    return ok;
}

/* Rows of the database that the word means. */
struct found {
    struct recording *out;
    int n;
    char numbers[NUMBERS_BYTES]; /* of the first of them, for words */
    hearth_error err;            /* of the only one */
    bool ok, receipt_will_do;
};

static bool take_row(void *arg, const struct recorded_row *row)
{
    struct found *f = arg;
    size_t used = strlen(f->numbers);
    if (used < sizeof f->numbers - 24)
        snprintf(f->numbers + used, sizeof f->numbers - used, "%s%lld", used ? ", " : "", (long long)row->id);
    if (f->n++ > 0)
        return true;
    if (row->has_body || !f->receipt_will_do)
        f->ok = recorded_recording(row, f->out, &f->err);
    else
        f->ok = recorded_receipt(row, f->out, &f->err);
    return true;
}

static bool read_rows(struct recording *out, const char *dir, const char *word, int64_t id, bool receipt_will_do,
                      hearth_error *err)
{
    bool last = strcmp(word, "last") == 0;
    struct recorded_filter filter = { .status = -1, .id = id, .request_id = id || last ? NULL : word, .last = last };
    struct found f = { .out = out, .receipt_will_do = receipt_will_do };
    if (!recorded_list(dir, &filter, RECORDED_BODY, take_row, &f, err)) {
        recording_free(out);
        return false;
    }
    if (f.n == 0)
        return fail(err, HEARTH_ERR_USAGE, "%.80s is no file, and no record in %.300s; hearth log lists what there is",
                    word, dir);
    if (f.n == 1 && !f.ok)
        *err = f.err;
    if (f.n == 1)
        return f.ok;
    recording_free(out);
    return fail(err, HEARTH_ERR_USAGE, "request %.80s has %d answers; give the number of one: %s", word, f.n,
                f.numbers);
}

static bool choose(struct recording *out, const char *word, const struct opt_value *record_dir, bool receipt_will_do,
                   hearth_error *err)
{
    char dir[RECORD_DIR_BYTES], *end;
    uint64_t device, inode;
    long long id = strtoll(word, &end, 10);
    bool number = end > word && !*end && id > 0;
    *out = (struct recording){ 0 };
    if (!number && (strchr(word, '/') || file_identity(word, &device, &inode, err) > 0))
        return read_file(out, word, err);
    return record_place(dir, record_dir, err) && read_rows(out, dir, word, number ? id : 0, receipt_will_do, err);
}

bool recording_choose(struct recording *out, const char *word, const struct opt_value *record_dir, hearth_error *err)
{
    return choose(out, word, record_dir, false, err);
}

bool receipt_choose(struct recording *out, const char *word, const struct opt_value *record_dir, hearth_error *err)
{
    return choose(out, word, record_dir, true, err);
}
