#include "cli/log_rows.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "cli/json_out.h"
#include "cli/units.h"
#include "record/receipt_json.h"

/* ---- cells ---- */

const char *log_time(int64_t time_ms, char out[LOG_CELL_BYTES])
{
    int t[6];
    clock_local_at(time_ms / 1000, t);
    snprintf(out, LOG_CELL_BYTES, "%04d-%02d-%02d %02d:%02d:%02d", t[0], t[1], t[2], t[3], t[4], t[5]);
    return out;
}

/* What is in the file of a user may be anything: nothing of it moves the cursor. */
static void put_text(char out[LOG_CELL_BYTES], const char *text)
{
    snprintf(out, LOG_CELL_BYTES, "%s", text ? text : "");
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
}

static void put_count(char out[LOG_CELL_BYTES], int64_t n) { snprintf(out, LOG_CELL_BYTES, "%lld", (long long)n); }
static void put_ms(char out[LOG_CELL_BYTES], double ms) { text_of_ms(out, ms); }

static void id(const struct recorded_row *r, char *out) { put_count(out, r->id); }
static void ended(const struct recorded_row *r, char *out) { log_time(r->time_ms, out); }
static void key(const struct recorded_row *r, char *out) { put_text(out, r->key); }
static void model(const struct recorded_row *r, char *out) { put_text(out, r->model); }
static void source(const struct recorded_row *r, char *out) { put_text(out, r->source); }
static void finish(const struct recorded_row *r, char *out) { put_text(out, r->finish); }
static void prompt(const struct recorded_row *r, char *out) { put_count(out, r->n_prompt_tokens); }
static void cached(const struct recorded_row *r, char *out) { put_count(out, r->n_cached_tokens); }
static void output(const struct recorded_row *r, char *out) { put_count(out, r->n_output_tokens); }
static void total(const struct recorded_row *r, char *out) { put_ms(out, r->total_ms); }

static void first(const struct recorded_row *r, char *out)
{
    if (r->n_output_tokens > 0)
        put_ms(out, r->first_token_ms);
}

/* "req-1", of several answers to it "req-1 #2", and "(400)" where that is what the client was told. */
static void request(const struct recorded_row *r, char *out)
{
    char choice[16] = "", status[16] = "", id[LOG_CELL_BYTES];
    if (r->choice)
        snprintf(choice, sizeof choice, " #%d", r->choice);
    if (r->status && r->status != 200)
        snprintf(status, sizeof status, " (%d)", r->status);
    put_text(id, r->request_id);
    snprintf(out, LOG_CELL_BYTES, "%.*s%s%s", (int)(LOG_CELL_BYTES - sizeof choice - sizeof status), id, choice,
             status);
}

static const struct column {
    const char *head;
    bool right;
    void (*put)(const struct recorded_row *row, char *out);
} columns[LOG_N_COLUMNS] = {
    { "ID", true, id },
    { "ENDED", false, ended },
    { "KEY", false, key },
    { "MODEL", false, model },
    { "ASKED", false, source },
    { "FINISH", false, finish },
    { "PROMPT", true, prompt },
    { "CACHED", true, cached },
    { "OUTPUT", true, output },
    { "FIRST", true, first },
    { "TOTAL", true, total },
    { "REQUEST", false, request },
};

/* ---- rows ---- */

static int width_of(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

void log_rows_measure(struct log_widths *w, const struct recorded_row *row)
{
    w->n_rows++;
    for (int i = 0; i < LOG_N_COLUMNS; i++) {
        char cell[LOG_CELL_BYTES] = "";
        columns[i].put(row, cell);
        if (cell[0])
            w->of[i] = max_int(w->of[i], max_int(width_of(cell), width_of(columns[i].head)));
    }
}

static void print_cell(const struct log_widths *w, int i, const char *text)
{
    int pad = max_int(w->of[i] - width_of(text), 0);
    if (w->of[i] == 0)
        return;
    if (columns[i].right)
        printf("%*s%s", pad, "", text);
    else
        printf("%s%*s", text, i + 1 < LOG_N_COLUMNS ? pad : 0, "");
    putchar(i + 1 < LOG_N_COLUMNS ? ' ' : '\n');
    if (i + 1 < LOG_N_COLUMNS)
        putchar(' ');
}

void log_rows_head(const struct log_widths *w)
{
    for (int i = 0; i < LOG_N_COLUMNS; i++)
        print_cell(w, i, columns[i].head);
}

void log_rows_print(const struct log_widths *w, const struct recorded_row *row)
{
    for (int i = 0; i < LOG_N_COLUMNS; i++) {
        char cell[LOG_CELL_BYTES] = "";
        columns[i].put(row, cell);
        print_cell(w, i, cell);
    }
}

/* ---- JSON ---- */

static json_t *of_ms(double ms) { return isfinite(ms) ? json_real(ms) : json_null(); }
static json_t *of_known(const char *text) { return text ? json_of_text(text) : json_null(); }

static json_t *of_seed(uint64_t seed)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)seed);
    return seed > INT64_MAX ? json_string(digits) : json_integer((json_int_t)seed);
}

static json_t *of_recording(const struct recorded_row *row)
{
    struct recording recording;
    if (!row->parameters || !recorded_recording(row, &recording, NULL))
        return json_null();
    json_t *j = recording_to_json(&recording);
    recording_free(&recording);
    return j;
}

json_t *log_row_json(const struct recorded_row *row, bool with_recording)
{
    char time[32];
    clock_utc_at(row->time_ms, time);
    json_t *receipt = row->receipt ? json_loads(row->receipt, 0, NULL) : NULL;
    json_t *all = json_pack(
        "{s:I, s:s, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:i, s:i,"
        " s:o, s:o, s:i, s:i, s:i, s:o, s:o, s:o, s:o, s:b, s:o}",
        "id", (json_int_t)row->id, "time", time, "request_id", json_of_text(row->request_id), "choice", row->choice,
        "key", of_known(row->key), "source", json_of_text(row->source), "model", json_of_text(row->model), "identity",
        json_of_text(row->identity), "template_sha256", of_known(row->template_sha256), "arithmetic_revision",
        row->revision, "status", row->status, "finish", json_of_text(row->finish), "detail", json_of_text(row->detail),
        "n_prompt_tokens", row->n_prompt_tokens, "n_cached_tokens", row->n_cached_tokens, "n_output_tokens",
        row->n_output_tokens, "queue_ms", of_ms(row->queue_ms), "first_token_ms", of_ms(row->first_token_ms),
        "total_ms", of_ms(row->total_ms), "seed", of_seed(row->seed), "has_body", row->has_body, "hearth",
        receipt ? receipt : json_null());
    if (all && with_recording && json_object_set_new(all, "recording", of_recording(row)) != 0) {
        json_decref(all);
        return NULL;
    }
    return all;
}
