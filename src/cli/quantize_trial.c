/* quantize_trial.c: candidates one after the other: made, measured, removed.
 *
 * One model is open at a time. IN runs over the windows once and its logits go to a file, to be compared with those of
 * each candidate; speeds are measured by opening IN and the candidate in turns, so that what the machine does meanwhile
 * is in both. */
#include "cli/quantize_trial.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/folder.h"
#include "cli/bench_figures.h"
#include "cli/bench_runs.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/units.h"
#include "cli/verify.h"

enum { ROUNDS = 3, PLAN_TOKENS = 4096, RUN_MS = 250, BLOCK_BYTES = 32 };

/* Around the mixes that are published most. */
static const char usual[] = "Q8_0,Q6_K,Q5_K_M,Q4_K_M,Q4_0,Q3_K_M,Q2_K";

/* ---- which ---- */

static const struct quantize_mix *mix_of(struct str name)
{
    for (const struct quantize_mix *m = quantize_mixes; m->name; m++) {
        bool same = strlen(m->name) == name.len;
        for (size_t i = 0; same && i < name.len; i++)
            same = m->name[i] == name.ptr[i] || (name.ptr[i] >= 'a' && name.ptr[i] - 32 == m->name[i]);
        if (same)
            return m;
    }
    return NULL;
}

static bool add_type(struct trial *t, struct str name, hearth_error *err)
{
    const struct quantize_mix *mix = mix_of(name);
    if (!mix)
        return fail(err, HEARTH_ERR_USAGE, "--types has '%.*s'; give names with commas between, of %s",
                    (int)min_size(name.len, 40), name.ptr, QUANTIZE_MIX_CHOICES);
    for (int i = 0; i < t->n; i++)
        if (t->each[i].mix == mix)
            return fail(err, HEARTH_ERR_USAGE, "--types has %s twice; leave one out", mix->name);
    if (t->n == TRIAL_MOST)
        return fail(err, HEARTH_ERR_USAGE, "--types has more than %d names; leave some out", TRIAL_MOST);
    t->each[t->n++] = (struct trial_one){ .mix = mix };
    return true;
}

bool trial_types(struct trial *t, const char *list, hearth_error *err)
{
    t->usual = !list;
    for (const char *at = list ? list : usual;; at++) {
        size_t n = strcspn(at, ",");
        if (!add_type(t, (struct str){ at, n }, err))
            return false;
        at += n;
        if (!*at)
            return true;
    }
}

/* ---- beforehand ---- */

bool trial_room(const struct trial *t, uint64_t distributions_bytes, uint64_t room, hearth_error *err)
{
    char needed[UNITS_BYTES], files[UNITS_BYTES], logits[UNITS_BYTES], there[UNITS_BYTES];
    uint64_t sum = 0, largest = 0;
    const char *name = "";
    for (int i = 0; i < t->n; i++) {
        sum += t->each[i].bytes;
        if (t->each[i].bytes > largest) {
            largest = t->each[i].bytes;
            name = t->each[i].mix->name;
        }
    }
    uint64_t of_files = t->keep ? sum : largest;
    if (of_files + distributions_bytes <= room)
        return true;
    return fail(err, HEARTH_ERR_IO,
                "the comparison needs %s in %.150s (%s%s%s%s, the distributions of IN %s) and %s are free; "
                "give fewer --types or --windows, make room, or name another folder with %s",
                text_of_bytes(needed, of_files + distributions_bytes), t->folder,
                t->keep ? "all candidates " : "the largest candidate, ", t->keep ? "" : name, t->keep ? "" : " ",
                text_of_bytes(files, of_files), text_of_bytes(logits, distributions_bytes), text_of_bytes(there, room),
                t->keep ? "--keep" : "TMPDIR");
}

/* Size and bits of a candidate, without writing it. Its directory is about IN's. */
static bool look_ahead(struct trial *t, struct quantize_result *r, struct trial_one *one, hearth_error *err)
{
    struct quantize_options o = t->quantize;
    o.mix = one->mix;
    o.dry_run = true;
    bool ok = quantize_file(r, t->in, "", &o, err);
    if (ok && r->values > 0) {
        uint64_t rest = t->model.bytes > r->bytes_in ? t->model.bytes - r->bytes_in : 0;
        one->bytes = r->bytes_out + rest + (uint64_t)r->n * BLOCK_BYTES;
        one->bits = 8.0 * (double)r->bytes_out / (double)r->values;
        t->model.bits = 8.0 * (double)r->bytes_in / (double)r->values;
    }
    quantize_free(r);
    return ok;
}

static bool choose(struct trial *t, struct quantize_result *r, hearth_error *err)
{
    int kept = 0;
    for (int i = 0; i < t->n; i++) {
        if (!look_ahead(t, r, &t->each[i], err))
            return false;
        if (t->usual && t->each[i].bytes >= t->model.bytes)
            fprintf(stderr, "%s is left out: it is not smaller than IN\n", t->each[i].mix->name);
        else
            t->each[kept++] = t->each[i];
    }
    t->n = kept;
    return kept > 0 || fail(err, HEARTH_ERR_USAGE, "none of %s is smaller than IN; name others with --types", usual);
}

/* IN's name without .gguf, the mix, .gguf. */
static bool name_files(struct trial *t, hearth_error *err)
{
    const char *slash = strrchr(t->in, '/'), *name = slash ? slash + 1 : t->in;
    size_t n = strlen(name);
    if (n > 5 && strcmp(name + n - 5, ".gguf") == 0)
        n -= 5;
    for (int i = 0; i < t->n; i++) {
        struct trial_one *one = &t->each[i];
        int used = snprintf(one->path, sizeof one->path, "%s/%.*s-%s.gguf", t->folder, (int)n, name, one->mix->name);
        if (used < 0 || (size_t)used >= sizeof one->path)
            return fail(err, HEARTH_ERR_USAGE, "the paths of candidates would have %d bytes; give a shorter --keep",
                        used);
        if (t->keep && !t->quantize.force && access(one->path, F_OK) == 0)
            return fail(err, HEARTH_ERR_USAGE, "%.300s exists; name another --keep, or replace it with --force",
                        one->path);
    }
    return true;
}

static bool read_windows(struct trial *t, hearth_file *file, hearth_error *err)
{
    struct buf text = { 0 };
    if (t->text_path)
        return windows_read(&t->windows, file, t->text_path, WINDOW_TOKENS, false, (size_t)t->n_windows, err);
    for (size_t i = 0; i < n_verify_texts; i++)
        buf_put(&text, verify_texts[i].ptr, verify_texts[i].len);
    bool ok = !text.failed ? windows_of_text(&t->windows, file, "the built-in text", buf_str(&text), WINDOW_TOKENS,
                                             false, (size_t)t->n_windows, err)
                           : fail_memory(err, "the built-in text");
    buf_free(&text);
    return ok;
}

static bool plan(const struct trial *t, const char *path, struct trial_one *one, int *n_threads, hearth_error *err)
{
    hearth_plan p;
    hearth_file *file = hearth_file_open(&(hearth_source){ .path = path }, err);
    bool ok = file && hearth_file_plan(file, t->n_ctx, HEARTH_KV_f16, t->n_threads, 0, &p, err);
    if (ok) {
        one->planned_bytes = p.total_bytes;
        *n_threads = p.n_threads;
    }
    hearth_file_close(file);
    return ok;
}

/* IN's shapes, the text, the candidates' sizes, and whether the disk has room for all that. */
static bool prepare(struct trial *t, struct quantize_result *r, hearth_error *err)
{
    hearth_file_info info;
    uint64_t room = 0;
    hearth_file *file = hearth_file_open(&(hearth_source){ .path = t->in }, err);
    if (!file)
        return false;
    hearth_file_describe(file, &info);
    t->model.bytes = info.file_bytes;
    t->n_ctx = info.n_ctx_train > 0 ? min_int(PLAN_TOKENS, info.n_ctx_train) : PLAN_TOKENS;
    t->n_prompt = min_int(TRIAL_PROMPT, max_int(1, t->n_ctx - TRIAL_OUTPUT - 1));
    bool ok = info.runs || fail(err, HEARTH_ERR_FORMAT, "%s cannot run here: %s", t->in, info.problem);
    ok = ok && choose(t, r, err) && read_windows(t, file, err) && plan(t, t->in, &t->model, &t->used_threads, err)
      && kld_windows_make(&t->kld, &t->windows, info.n_vocab, err);
    hearth_file_close(file);
    if (!ok || !(t->keep ? folder_make(t->keep, err) : scratch_open(&t->scratch, err)))
        return false;
    t->folder = t->keep ? t->keep : t->scratch.path;
    t->window_bytes = t->kld.n_scored * (uint64_t)t->kld.n_vocab * sizeof *t->kld.logits;
    if (!name_files(t, err) || !folder_room(t->folder, &room, err)
        || !trial_room(t, t->windows.n * t->window_bytes, room, err))
        return false;
    t->distributions = scratch_file(t->folder, err);
    return t->distributions >= 0;
}

/* ---- distributions ---- */

double trial_ms_left(int n, int n_done, double done_ms, double begun_ms)
{
    double each = n_done > 0 ? done_ms / n_done : 0;
    return n_done > 0 ? each * (n - n_done - 1) + fmax(0, each - begun_ms) : NAN;
}

/* From the second candidate on with the time that is left for all. */
static void say_stage(const struct trial *t, const struct trial_one *one, const char *doing)
{
    char left[UNITS_BYTES];
    int done = (int)(one - t->each);
    if (!one->mix) {
        fprintf(stderr, "IN: %s\n", doing);
        return;
    }
    double all_ms = clock_ms_since(t->start_ns);
    text_of_ms(left, trial_ms_left(t->n, done, t->done_ms, all_ms - t->done_ms));
    fprintf(stderr, "%s (%d of %d): %s%s%s%s\n", one->mix->name, done + 1, t->n, doing, left[0] ? "; " : "", left,
            left[0] ? " left for all" : "");
}

/* All windows by IN, whose logits go to the file, or by a candidate against them. */
static bool run_windows(struct trial *t, struct trial_one *one, hearth_error *err)
{
    struct measured m = { 0 };
    struct progress progress;
    hearth_model_options options = { .source.path = one->mix ? one->path : t->in };
    say_stage(t, one, "predicting the text");
    progress_begin(&progress, "tokens");
    bool ok = measured_open(&m, options, &t->windows, t->n_threads, 1, err);
    t->kld.n_positions = 0;
    for (size_t i = 0; ok && i < t->windows.n; i++) {
        struct score score = { 0 };
        uint64_t at = i * t->window_bytes;
        if (one->mix)
            ok = scratch_read(t->distributions, t->kld.logits, t->window_bytes, at, err)
              && kld_windows_compare(&t->kld, &m, i, &score, err);
        else
            ok = kld_windows_keep(&t->kld, &m, i, &score, err)
              && scratch_write(t->distributions, t->kld.logits, t->window_bytes, at, err);
        score_add(&one->score, &score);
        progress_show(&progress, (i + 1) * (uint64_t)t->windows.n_tokens,
                      t->windows.n * (uint64_t)t->windows.n_tokens, "");
    }
    measured_close(&m);
    progress_end(&progress);
    if (ok && one->mix)
        kld_summarize(t->kld.positions, t->kld.n_positions, &one->kld);
    return ok;
}

/* ---- speed ---- */

/* Opened, warmed up and closed again; at least one run of each. */
static bool time_one(const struct trial *t, const char *path, struct trial_speed *s, hearth_error *err)
{
    struct bench_model m;
    hearth_receipt r;
    double tok_s = 0;
    hearth_model_options options = { .source.path = path };
    bool ok = bench_open(&m, &options, t->n_threads, 1, t->n_prompt + TRIAL_OUTPUT + 1, err)
           && bench_answer(&m, min_int(BENCH_SHORT_PROMPT, t->n_prompt), 2, false, &r, err);
    int64_t start = clock_ns();
    do {
        ok = ok && bench_prefill(&m, t->n_prompt, &tok_s, err);
        if (ok)
            bench_add_reading(&s->prefill, tok_s);
        ok = ok && bench_decode(&m, t->n_prompt, TRIAL_OUTPUT, &tok_s, err);
        if (ok)
            bench_add_reading(&s->decode, tok_s);
    } while (ok && clock_ms_since(start) < RUN_MS);
    bench_close(&m);
    return ok;
}

static double median(struct bench_readings *r) { return bench_median(r->v, r->n, NULL, NULL); }

/* In turns; the one that begins changes. */
static bool time_both(struct trial *t, struct trial_one *one, hearth_error *err)
{
    struct trial_speed *s = t->speed;
    struct bench_watch watch;
    say_stage(t, one, "measuring speed in turns with IN");
    s[0].prefill.n = s[0].decode.n = s[1].prefill.n = s[1].decode.n = 0;
    bench_watch_begin(&watch);
    for (int i = 0; i < 2 * ROUNDS; i++) {
        bool in = (i % 4 == 0) || (i % 4 == 3);
        if (!time_one(t, in ? t->in : one->path, &s[!in], err))
            return false;
    }
    t->others += bench_watch_others(&watch, NULL) / t->n;
    one->prefill = median(&s[1].prefill);
    one->decode = median(&s[1].decode);
    double prefill = median(&s[0].prefill), decode = median(&s[0].decode);
    one->prefill_times = prefill > 0 ? one->prefill / prefill : 0;
    one->decode_times = decode > 0 ? one->decode / decode : 0;
    bench_add_reading(&t->in_prefill, prefill);
    bench_add_reading(&t->in_decode, decode);
    return true;
}

/* ---- all of it ---- */

static bool show(void *progress, const char *doing, uint64_t done, uint64_t total)
{
    progress_doing(progress, doing);
    progress_show(progress, done, total, "");
    return !interrupt_pending();
}

static bool make(struct trial *t, struct quantize_result *r, struct trial_one *one, hearth_error *err)
{
    struct progress progress;
    struct quantize_options o = t->quantize;
    hearth_file_info info;
    o.mix = one->mix;
    o.progress = show;
    o.progress_arg = &progress;
    say_stage(t, one, "writing");
    progress_begin(&progress, NULL);
    bool ok = quantize_file(r, t->in, one->path, &o, err);
    progress_end(&progress);
    quantize_free(r);
    hearth_file *file = ok ? hearth_file_open(&(hearth_source){ .path = one->path }, err) : NULL;
    if (file) {
        hearth_file_describe(file, &info);
        one->bytes = info.file_bytes;
    }
    hearth_file_close(file);
    return file != NULL;
}

static bool go_on(hearth_error *err)
{
    return !interrupt_pending() || fail(err, HEARTH_ERR_CANCELLED, "interrupted; nothing is reported of a part");
}

static bool try_one(struct trial *t, struct quantize_result *r, struct trial_one *one, hearth_error *err)
{
    int ignored;
    bool ok = make(t, r, one, err) && plan(t, one->path, one, &ignored, err) && run_windows(t, one, err)
           && time_both(t, one, err) && go_on(err);
    if (!t->keep)
        remove(one->path);
    return ok ? true : err_context(err, "%s", one->mix->name);
}

static void conclude(struct trial *t)
{
    t->model.prefill = median(&t->in_prefill);
    t->model.decode = median(&t->in_decode);
    for (int i = 0; i < t->n; i++) {
        const struct trial_one *one = &t->each[i];
        t->point[i] = (struct trade_point){ .name = one->mix->name, .bytes = one->bytes, .kld = one->kld.mean,
                                            .same_top = one->kld.same_top, .decode_times = one->decode_times,
                                            .smaller = one->bytes < t->model.bytes };
    }
    trade_find(&t->trade, t->point, t->n);
}

bool trial_run(struct trial *t, hearth_error *err)
{
    struct quantize_result *r = mem_alloc(sizeof *r);
    t->speed = mem_alloc(2 * sizeof *t->speed);
    t->distributions = -1;
    bool ok = (r && t->speed) || fail_memory(err, "the comparison");
    ok = ok && prepare(t, r, err) && run_windows(t, &t->model, err);
    t->start_ns = clock_ns();
    for (int i = 0; ok && i < t->n; i++) {
        ok = go_on(err) && try_one(t, r, &t->each[i], err);
        t->done_ms = clock_ms_since(t->start_ns);
    }
    if (ok)
        conclude(t);
    scratch_file_close(t->distributions);
    scratch_close(&t->scratch);
    kld_windows_free(&t->kld);
    mem_free(t->speed);
    mem_free(r);
    t->speed = NULL;
    return ok;
}
