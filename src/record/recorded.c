#include "record/recorded.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "record/database.h"

/* Ids first, for a list in the order of time that has the newest only; what is long is read of those alone. `first` is
 * what finds them by an index. */
#define WHERE(first)                                                                                          \
    " FROM request r LEFT JOIN receipt t ON t.id = r.id LEFT JOIN body b ON b.id = r.id"                      \
    " WHERE r.id IN (SELECT id FROM request"                                                                  \
    "   WHERE " first " AND (?3 IS NULL OR model = ?3)"                                                       \
    "   AND (?4 IS NULL OR key = ?4)"                                                                         \
    "   AND (?5 IS NULL OR finish = ?5 OR substr(detail, 1, length(?5)) = ?5)"                                \
    "   AND (?6 < 0 OR status = ?6) AND time_ms >= ?7 AND coalesce(total_ms, 0) >= ?8"                        \
    "   ORDER BY id DESC LIMIT ?9) ORDER BY r.id"
#define COLUMNS                                                                                               \
    "SELECT r.id, time_ms, request_id, choice, key, source, model, identity, template_sha256, revision, status," \
    " finish, detail, n_prompt_tokens, n_cached_tokens, n_output_tokens, queue_ms, first_token_ms, total_ms, seed,"   \
    " b.id IS NOT NULL"

enum found_by { BY_ID, BY_REQUEST, BY_ANYTHING, N_FOUND_BY };
#define SELECTS(more)                                                                                         \
    {                                                                                                         \
        [BY_ID] = COLUMNS more WHERE("id = ?1 AND (?2 IS NULL OR request_id = ?2)"),                          \
        [BY_REQUEST] = COLUMNS more WHERE("?1 = 0 AND request_id = ?2"),                                      \
        [BY_ANYTHING] = COLUMNS more WHERE("?1 = 0 AND ?2 IS NULL"),                                          \
    }
static const char *const selects[][N_FOUND_BY] = {
    [RECORDED_LINE] = SELECTS(", NULL, NULL, NULL, NULL, NULL"),
    [RECORDED_RECEIPT] = SELECTS(", t.json, NULL, NULL, NULL, NULL"),
    [RECORDED_BODY] = SELECTS(", t.json, b.prompt, b.output, b.mixes, b.parameters"),
};

static void bind_text(sqlite3_stmt *s, int at, const char *text)
{
    if (text)
        sqlite3_bind_text(s, at, text, -1, SQLITE_STATIC);
}

static void bind_filter(sqlite3_stmt *s, const struct recorded_filter *f)
{
    sqlite3_bind_int64(s, 1, f->id);
    bind_text(s, 2, f->request_id);
    bind_text(s, 3, f->model);
    bind_text(s, 4, f->key);
    bind_text(s, 5, f->finish);
    sqlite3_bind_int(s, 6, f->status);
    sqlite3_bind_int64(s, 7, f->since_ms);
    sqlite3_bind_double(s, 8, f->slower_than_ms);
    sqlite3_bind_int64(s, 9, f->last ? f->last : -1);
}

/* Columns, one after the other. */
struct columns {
    sqlite3_stmt *s;
    int n;
};

static const char *take_text(struct columns *c) { return (const char *)sqlite3_column_text(c->s, c->n++); }
static int64_t take_whole(struct columns *c) { return sqlite3_column_int64(c->s, c->n++); }

static const char *take_some(struct columns *c)
{
    const char *text = take_text(c);
    return text ? text : "";
}

static double take_ms(struct columns *c)
{
    double v = sqlite3_column_type(c->s, c->n) == SQLITE_NULL ? NAN : sqlite3_column_double(c->s, c->n);
    c->n++;
    return v;
}

/* *n: how many of so many bytes. SQLite's memory is good for any type. */
static const void *take_blob(struct columns *c, size_t each, size_t *n)
{
    *n = (size_t)sqlite3_column_bytes(c->s, c->n) / each;
    return sqlite3_column_blob(c->s, c->n++);
}

static void take_row(sqlite3_stmt *s, struct recorded_row *row)
{
    struct columns c = { s, 0 };
    row->id = take_whole(&c);
    row->time_ms = take_whole(&c);
    row->request_id = take_some(&c);
    row->choice = (int)take_whole(&c);
    row->key = take_text(&c);
    row->source = take_some(&c);
    row->model = take_some(&c);
    row->identity = take_some(&c);
    row->template_sha256 = take_text(&c);
    row->revision = (int)take_whole(&c);
    row->status = (int)take_whole(&c);
    row->finish = take_some(&c);
    row->detail = take_some(&c);
    row->n_prompt_tokens = (int)take_whole(&c);
    row->n_cached_tokens = (int)take_whole(&c);
    row->n_output_tokens = (int)take_whole(&c);
    row->queue_ms = take_ms(&c);
    row->first_token_ms = take_ms(&c);
    row->total_ms = take_ms(&c);
    row->seed = (uint64_t)take_whole(&c);
    row->has_body = take_whole(&c) != 0;
    row->receipt = take_text(&c);
    row->prompt = take_blob(&c, sizeof *row->prompt, &row->n_prompt);
    row->output = take_blob(&c, sizeof *row->output, &row->n_output);
    row->mixes = take_blob(&c, sizeof *row->mixes, &row->n_mixes);
    row->parameters = take_text(&c);
}

/* NULL: memory is out. */
static void *copy(const void *from, size_t n, size_t each)
{
    void *to = mem_alloc(n * each + 1);
    if (to && n > 0)
        memcpy(to, from, n * each);
    return to;
}

bool recorded_recording(const struct recorded_row *row, struct recording *out, hearth_error *err)
{
    uint64_t n_refused = mem_n_refused();
    *out = (struct recording){ .n_prompt = row->n_prompt, .n_output = row->n_output };
    out->receipt = row->receipt ? json_loads(row->receipt, JSON_REJECT_DUPLICATES, NULL) : NULL;
    out->request = row->parameters ? json_loads(row->parameters, JSON_REJECT_DUPLICATES, NULL) : NULL;
    out->prompt = copy(row->prompt, row->n_prompt, sizeof *row->prompt);
    out->output = copy(row->output, row->n_output, sizeof *row->output);
    bool mixes = row->n_mixes >= row->n_output && row->n_mixes > 0;
    if (mixes)
        out->mixes = copy(row->mixes, row->n_output, sizeof *row->mixes);
    out->end_mix = mixes && row->n_mixes > row->n_output ? row->mixes[row->n_output] : 0;
    if (mem_n_refused() == n_refused && out->receipt && out->request)
        return true;
    recording_free(out);
    return mem_n_refused() != n_refused
               ? fail_memory(err, "a recording")
               : fail(err, HEARTH_ERR_FORMAT, "record %lld has no tokens, or is damaged; only --record full keeps them",
                      (long long)row->id);
}

bool recorded_receipt(const struct recorded_row *row, struct recording *out, hearth_error *err)
{
    uint64_t n_refused = mem_n_refused();
    *out = (struct recording){ 0 };
    out->receipt = row->receipt ? json_loads(row->receipt, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (out->receipt)
        return true;
    return mem_n_refused() != n_refused
               ? fail_memory(err, "a receipt")
               : fail(err, HEARTH_ERR_FORMAT, "record %lld is damaged: its receipt is no JSON", (long long)row->id);
}

bool recorded_list(const char *dir, const struct recorded_filter *filter, enum recorded_depth depth,
                   bool (*see)(void *arg, const struct recorded_row *row), void *arg, hearth_error *err)
{
    struct database d;
    sqlite3_stmt *s = NULL;
    if (!database_open_to_read(&d, dir, err))
        return false;
    enum found_by by = filter->id ? BY_ID : filter->request_id ? BY_REQUEST : BY_ANYTHING;
    int code = sqlite3_prepare_v2(d.db, selects[depth][by], -1, &s, NULL);
    bool goes_on = code == SQLITE_OK;
    if (goes_on)
        bind_filter(s, filter);
    while (goes_on && (code = sqlite3_step(s)) == SQLITE_ROW) {
        struct recorded_row row;
        take_row(s, &row);
        goes_on = see(arg, &row);
    }
    bool ok = code == SQLITE_DONE || code == SQLITE_ROW;
    if (!ok)
        fail(err, HEARTH_ERR_FORMAT, "%.300s cannot be read: %.150s", d.path, sqlite3_errmsg(d.db));
    sqlite3_finalize(s);
    database_close(&d);
    return ok;
}
