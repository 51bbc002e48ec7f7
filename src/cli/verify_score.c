/* verify_score.c: how well a model predicts the built-in texts, with parts of its file read otherwise. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/interrupt.h"
#include "cli/text_ids.h"
#include "cli/verify.h"

#define TEXT(words) { words, sizeof(words) - 1 },
const struct str verify_texts[] = {
#include "cli/verify_texts.def"
};
const size_t n_verify_texts = ARRAY_LEN(verify_texts);

double verify_bits_per_byte(const struct verify_score *s)
{
    return s->n_bytes ? s->sum / log(2) / (double)s->n_bytes : 0;
}

double verify_gain(const struct verify_score *a, const struct verify_score *b, double *error)
{
    double sum = 0, squares = 0, n = (double)min_size(a->n_tokens, b->n_tokens);
    for (size_t i = 0; i < a->n_tokens && i < b->n_tokens; i++) {
        double d = (double)a->nll[i] - (double)b->nll[i];
        sum += d;
        squares += d * d;
    }
    double mean = n > 0 ? sum / n : 0;
    *error = n > 1 ? sqrt(fmax(0, squares / n - mean * mean) / (n - 1)) : 0;
    return mean;
}

/* To its END, whatever happens. */
static bool read_scores(hearth_stream *s, struct verify_score *out, hearth_error *err)
{
    hearth_event e;
    while (interrupt_next(s, &e)) {
        if (out->n_tokens == VERIFY_MOST_TOKENS)
            continue;
        out->nll[out->n_tokens++] = -e.logprob;
        out->sum -= (double)e.logprob;
    }
    if (e.reason == HEARTH_END_ERROR && err)
        *err = *hearth_stream_error(s);
    if (e.reason == HEARTH_END_CANCELLED)
        fail(err, HEARTH_ERR_CANCELLED, "interrupted; nothing is reported of a part of the checks");
    return e.reason == HEARTH_END_LENGTH;
}

bool verify_run_request(hearth_model *model, const hearth_request *r, struct verify_score *out, hearth_error *err)
{
    hearth_stream *s = hearth_submit(model, r, err);
    if (!s)
        return false;
    hearth_stream_on_wake(s, interrupt_wake, NULL);
    bool ok = read_scores(s, out, err);
    hearth_stream_close(s);
    return ok;
}

static bool score_ids(hearth_model *model, const int32_t *ids, size_t n, struct verify_score *out, hearth_error *err)
{
    hearth_request r = { .prompt_ids = ids, .n_prompt_ids = n, .no_prefix_cache = true, .score = true,
                         .score_from = 1 };
    hearth_sampling_defaults(NULL, &r.sampling, NULL);
    return verify_run_request(model, &r, out, err);
}

static bool score_text(hearth_model *model, struct str text, size_t most, struct verify_score *out, hearth_error *err)
{
    hearth_file *file = hearth_model_file(model);
    int32_t *ids = NULL;
    size_t n = 0, n_bytes;
    if (!text_ids(file, text.ptr, text.len, false, true, &ids, &n, err))
        return false;
    n = min_size(n, most);
    bool ok = n < 2 || score_ids(model, ids, n, out, err);
    for (size_t i = 1; ok && i < n; i++) {
        hearth_file_token_text(file, ids[i], &n_bytes);
        out->n_bytes += hearth_file_token_special(file, ids[i]) ? 1 : n_bytes; /* unknown: a character at the least */
    }
    mem_free(ids);
    return ok;
}

/* By what came so far, and more than chance. */
static bool no_use(const struct verify_run *run, const struct verify_score *s)
{
    double error, gain = verify_gain(run->against, s, &error);
    return s->n_tokens > 1 && gain + 2 * error < run->least_gain;
}

bool verify_score(struct verify *v, const struct verify_run *run, struct verify_score *out, hearth_error *err)
{
    hearth_model_options options = { .source = v->source, .n_ctx_tokens = run->most_tokens };
    options.source.overrides = run->overrides;
    options.source.n_overrides = run->n_overrides;
    *out = (struct verify_score){ 0 };
    hearth_model *model = hearth_model_open(v->engine, &options, err);
    bool ok = model != NULL;
    for (size_t i = run->first; ok && i < run->end; i++) {
        ok = score_text(model, verify_texts[i], (size_t)run->most_tokens, out, err);
        if (ok && run->against && no_use(run, out))
            break;
    }
    hearth_model_release(model);
    return ok;
}
