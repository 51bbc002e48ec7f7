#include "cli/bench_runs.h"

#include "base/alloc.h"
#include "base/base.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/rng.h"
#include "cli/interrupt.h"

bool bench_open(struct bench_model *m, const hearth_model_options *model, int n_threads, int n_seqs, int n_ctx,
                hearth_error *err)
{
    hearth_engine_options engine = { .n_threads = n_threads, .n_seqs = n_seqs };
    hearth_model_options options = *model;
    hearth_file_info info;
    options.n_ctx_tokens = n_ctx;
    *m = (struct bench_model){ .engine = hearth_engine_create(&engine, err) };
    m->model = m->engine ? hearth_model_open(m->engine, &options, err) : NULL;
    if (!m->model)
        return false;
    hearth_file_describe(hearth_model_file(m->model), &info);
    m->n_vocab = info.n_vocab;
    return true;
}

void bench_close(struct bench_model *m)
{
    hearth_model_release(m->model);
    hearth_engine_destroy(m->engine);
    *m = (struct bench_model){ 0 };
}

/* which: every sequence has other tokens. */
static hearth_stream *submit(struct bench_model *m, int n_prompt, int n_output, bool keep, int which,
                             hearth_error *err)
{
    int32_t *ids = mem_alloc((size_t)n_prompt * sizeof *ids);
    if (!ids) {
        fail_memory(err, "a prompt");
        return NULL;
    }
    for (int i = 0; i < n_prompt; i++)
        ids[i] = (int32_t)(rng_mix((uint64_t)which << 32 | (uint64_t)i) % (uint64_t)m->n_vocab);
    hearth_request r = { .prompt_ids = ids, .n_prompt_ids = (size_t)n_prompt, .max_tokens = n_output,
                         .no_prefix_cache = !keep, .ignore_eos = true, .speculate = HEARTH_SPECULATE_OFF };
    hearth_sampling_defaults(NULL, &r.sampling, NULL);
    r.sampling.temperature = 0;
    hearth_stream *s = hearth_submit(m->model, &r, err);
    mem_free(ids);
    if (s)
        hearth_stream_on_wake(s, interrupt_wake, NULL);
    return s;
}

/* To its END, and closed; NULL is fine. */
static bool finish(hearth_stream *s, int n_output, hearth_receipt *receipt, hearth_error *err)
{
    hearth_event e = { .reason = HEARTH_END_ERROR };
    if (!s)
        return false;
    while (interrupt_next(s, &e))
        ;
    hearth_stream_receipt(s, receipt);
    bool ok = receipt->reason == HEARTH_END_LENGTH && receipt->n_output_tokens == n_output;
    if (!ok && receipt->reason == HEARTH_END_ERROR && err)
        *err = *hearth_stream_error(s);
    else if (!ok && receipt->reason == HEARTH_END_CANCELLED)
        fail(err, HEARTH_ERR_CANCELLED, "interrupted while the speed was measured");
    else if (!ok)
        fail(err, HEARTH_ERR_MODEL, "a run of %d tokens ended after %d: %s", n_output, receipt->n_output_tokens,
             receipt->finish_detail);
    hearth_stream_close(s);
    return ok;
}

bool bench_answer(struct bench_model *m, int n_prompt, int n_output, bool keep, hearth_receipt *receipt,
                  hearth_error *err)
{
    return finish(submit(m, n_prompt, n_output, keep, 0, err), n_output, receipt, err);
}

bool bench_prefill(struct bench_model *m, int n_prompt, double *tok_s, hearth_error *err)
{
    hearth_receipt r;
    if (!bench_answer(m, n_prompt, 1, false, &r, err))
        return false;
    *tok_s = n_prompt / r.prefill_ms * 1e3;
    return true;
}

bool bench_decode(struct bench_model *m, int n_before, int n_output, double *tok_s, hearth_error *err)
{
    hearth_receipt r;
    if (!bench_answer(m, n_before, n_output, true, &r, err))
        return false;
    *tok_s = (n_output - 1) / r.decode_ms * 1e3;
    return true;
}

/* A prompt goes first, so that the others are all waiting when it is through and begin in the same step. Each
 * sequence then has every step to the end in common with the others; where the start was torn apart all the same, the
 * sum of the rates would be too high by the steps that fewer shared, so such a run is repeated. */
bool bench_together(struct bench_model *m, int n_seqs, int n_output, double *tok_s, hearth_error *err)
{
    enum { TRIES = 5 };
    static const double enough = 0.9;
    double overlap = 0;
    bool ok = true;
    for (int try = 0; ok && try < TRIES && overlap < enough; try++) {
        hearth_stream *plug = submit(m, BENCH_PLUG_PROMPT, 1, false, n_seqs, err), *s[BENCH_MOST_SEQS] = { NULL };
        double submitted[BENCH_MOST_SEQS], begin = 0, end = 0, longest = 0;
        hearth_receipt r;
        int64_t start = clock_ns();
        for (int i = 0; plug && i < n_seqs; i++) {
            submitted[i] = clock_ms_since(start);
            s[i] = submit(m, BENCH_SHORT_PROMPT, n_output, false, i, err);
        }
        *tok_s = 0;
        ok = finish(plug, 1, &r, err);
        for (int i = 0; i < n_seqs; i++) {
            if (!finish(s[i], n_output, &r, ok ? err : NULL)) {
                ok = false;
                continue;
            }
            double first = submitted[i] + r.first_token_ms, last = first + r.decode_ms;
            begin = i == 0 || first > begin ? first : begin;
            end = i == 0 || last < end ? last : end;
            longest = r.decode_ms > longest ? r.decode_ms : longest;
            *tok_s += (n_output - 1) / r.decode_ms * 1e3;
        }
        overlap = ok && longest > 0 ? (end - begin) / longest : 0;
    }
    return ok;
}

void bench_watch_begin(struct bench_watch *w)
{
    machine_use_read(&w->use);
    w->ns = clock_ns();
    w->own_ns = clock_process_ns();
}

double bench_watch_others(const struct bench_watch *w, double *stolen)
{
    struct machine_use now;
    machine_use_read(&now);
    double all = (double)(clock_ns() - w->ns) * now.n_processors;
    double by_host = (double)(now.stolen_ns - w->use.stolen_ns);
    double others = (double)(now.busy_ns - w->use.busy_ns) + by_host - (double)(clock_process_ns() - w->own_ns);
    if (stolen)
        *stolen = all > 0 ? 100 * by_host / all : 0;
    return all > 0 && others > 0 ? 100 * others / all : 0;
}
