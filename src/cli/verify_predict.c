/* verify_predict.c: are the logits right, do they predict a text, and would another reading of the file do better? */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/text_ids.h"
#include "cli/verify.h"

enum { MOST_TOKENS = 256, N_PROSE = VERIFY_N_PROSE };

/* A model whose logits are no numbers is a finding, not a failure of the check. False: it failed, as err says then. */
static bool no_numbers(struct verify *v, enum verify_check check, const hearth_error *problem, hearth_error *err)
{
    if (problem->status != HEARTH_ERR_MODEL) {
        if (err)
            *err = *problem;
        return false;
    }
    if (check == VERIFY_PREDICTION)
        verify_say(v, check, HEARTH_FINDING_PROBLEM, "no-numbers", STR(""), "%s", problem->message);
    verify_done(v, check, "its logits are no numbers");
    return true;
}

/* ---- scalar against fast ---- */

enum { ANSWER_TOKENS = 16 };
/* Multiply-adds that the scalar kernels may take: seconds. */
static const double scalar_macs = 2e10;

/* A hash of the logits at each position. */
struct answer {
    uint64_t hash[ANSWER_TOKENS];
    size_t n;
};

static void keep_hash(void *arg, size_t index, const float *logits, int n_vocab)
{
    struct answer *a = arg;
    if (index >= 1 && index <= ANSWER_TOKENS)
        a->hash[index - 1] = str_hash((struct str){ (const char *)logits, (size_t)n_vocab * sizeof *logits });
    a->n++;
}

static bool answer_of(hearth_engine *engine, const hearth_source *source, const int32_t *ids, size_t n,
                      int n_chunk_tokens, struct answer *out, hearth_error *err)
{
    hearth_model_options o = { .source = *source, .n_ctx_tokens = (int)n };
    hearth_model *model = hearth_model_open(engine, &o, err);
    hearth_request r = { .prompt_ids = ids, .n_prompt_ids = n, .no_prefix_cache = true, .score = true, .score_from = 1,
                         .on_logits = keep_hash, .on_logits_arg = out, .n_chunk_tokens = n_chunk_tokens };
    hearth_sampling_defaults(NULL, &r.sampling, NULL);
    *out = (struct answer){ .n = 0 };
    struct verify_score ignored = { .n_tokens = 0 };
    bool ok = model && verify_run_request(model, &r, &ignored, err);
    hearth_model_release(model);
    return ok;
}

static void compare(struct verify *v, const struct answer *a, const struct answer *b, size_t n, const char *what)
{
    for (size_t i = 0; i + 1 < n; i++) {
        if (a->hash[i] == b->hash[i])
            continue;
        verify_say(v, VERIFY_ARITHMETIC, HEARTH_FINDING_PROBLEM, "other-logits", STR(""),
                   "%s give other logits than the fast kernels (%s) from position %zu on; they must have the same "
                   "bits: this processor or this build computes wrongly, the model is not to blame",
                   what, hearth_isa(NULL), i);
        return;
    }
}

/* The fast kernels had numbers. */
static bool same_kind(struct verify *v, bool ok, const char *what, hearth_error *err)
{
    if (!ok && err->status == HEARTH_ERR_MODEL)
        verify_say(v, VERIFY_ARITHMETIC, HEARTH_FINDING_PROBLEM, "other-logits", STR(""),
                   "%s give logits that are no numbers where the fast kernels (%s) give numbers; they must have the "
                   "same bits: this processor or this build computes wrongly, the model is not to blame",
                   what, hearth_isa(NULL));
    return ok;
}

static bool compare_all(struct verify *v, hearth_engine *scalar, const int32_t *ids, size_t n, hearth_error *err)
{
    struct answer fast, single, slow;
    const char *isa = hearth_isa(NULL);
    progress_begin(&v->progress, "answers");
    progress_doing(&v->progress, "comparing kernels");
    if (!answer_of(v->engine, &v->source, ids, n, 0, &fast, err)
        || !same_kind(v, answer_of(v->engine, &v->source, ids, n, 1, &single, err), "the same tokens one by one", err))
        return false;
    progress_show(&v->progress, 2, 3, "");
    if (!same_kind(v, answer_of(scalar, &v->source, ids, n, 0, &slow, err), "the scalar kernels", err))
        return false;
    progress_end(&v->progress);
    compare(v, &fast, &single, n, "the same tokens one by one");
    compare(v, &fast, &slow, n, "the scalar kernels");
    verify_done(v, VERIFY_ARITHMETIC, "scalar%s%s, whole and token by token: the logits of %zu tokens compared",
                strcmp(isa, "scalar") ? " and " : " kernels alone", strcmp(isa, "scalar") ? isa : "", n);
    return true;
}

bool verify_arithmetic(struct verify *v, hearth_error *err)
{
    int32_t *ids = NULL;
    size_t n = 0;
    hearth_cost cost = { 0 };
    struct str text = verify_texts[0];
    hearth_file_cost(v->file, HEARTH_KV_f16, &cost);
    size_t room = (size_t)fmin(fmax(scalar_macs / ((double)(cost.layer_macs + cost.output_macs) + 1), 3),
                               ANSWER_TOKENS);
    hearth_engine_options options = { .n_threads = v->n_threads };
    if (!v->engine && !(v->engine = hearth_engine_create(&options, err)))
        return false;
    options.isa = "scalar";
    hearth_engine *scalar = hearth_engine_create(&options, err);
    bool ok = scalar && text_ids(v->file, text.ptr, text.len, false, true, &ids, &n, err);
    n = min_size(n, room);
    if (ok && n < 2)
        ok = fail(err, HEARTH_ERR_FORMAT, "the vocabulary makes no tokens of a text");
    hearth_error problem = { 0 };
    if (ok && !compare_all(v, scalar, ids, n, &problem))
        ok = no_numbers(v, VERIFY_ARITHMETIC, &problem, err);
    hearth_engine_destroy(scalar);
    mem_free(ids);
    return ok;
}

/* ---- the text ---- */

/* Bits a byte for somebody who knows only how often each byte stands in these texts. */
static double chance_bits(void)
{
    double n_of[256] = { 0 }, n = 0, bits = 0;
    for (size_t i = 0; i < N_PROSE; i++) {
        for (size_t k = 0; k < verify_texts[i].len; k++)
            n_of[(uint8_t)verify_texts[i].ptr[k]]++;
        n += (double)verify_texts[i].len;
    }
    for (int b = 0; b < 256; b++)
        bits -= n_of[b] > 0 ? n_of[b] / n * log2(n_of[b] / n) : 0;
    return bits;
}

/* Seen: 1.5 to 1.65 for fixture models of 4 million weights and fewer, 2.04 with their weights in three values. */
static const double poor_bits = 2.6;

static void judge(struct verify *v, const struct verify_score *s)
{
    v->bits_per_byte = verify_bits_per_byte(s);
    v->chance_bits_per_byte = chance_bits();
    v->nll = s->sum / (double)s->n_tokens;
    v->n_scored_tokens = s->n_tokens;
    if (v->bits_per_byte > v->chance_bits_per_byte)
        verify_say(v, VERIFY_PREDICTION, HEARTH_FINDING_PROBLEM, "no-prediction", STR(""),
                   "it predicts plain English prose worse (%.2f bits a byte) than the mere frequency of letters does "
                   "(%.2f): something in its weights or in how they are read is wrong",
                   v->bits_per_byte, v->chance_bits_per_byte);
    else if (v->bits_per_byte > poor_bits)
        verify_say(v, VERIFY_PREDICTION, HEARTH_FINDING_WARNING, "poor-prediction", STR(""),
                   "it predicts plain English prose poorly: %.2f bits a byte, where a small model of English has 0.7 "
                   "to 1.7 and the mere frequency of letters %.2f; it may not be made for English, or not be whole",
                   v->bits_per_byte, v->chance_bits_per_byte);
}

/* ---- other readings of the file ---- */

/* Seen with healthy files: no other base gains anything. A wrong one costs 0.15 to 0.9 nats. */
static const double rope_bases[] = { 10000, 100000, 500000, 1000000, 5000000, 10000000 };
static const double least_gain = 0.08, least_errors = 3;

static bool try_bases(struct verify *v, const struct verify_score *own, int most_tokens, hearth_error *err)
{
    char key[96];
    double best = 0, best_gain = least_gain;
    struct verify_score s;
    snprintf(key, sizeof key, "%.64s.rope.freq_base", v->info.architecture);
    for (size_t i = 0; i < ARRAY_LEN(rope_bases); i++) {
        hearth_override o = { HEARTH_OVERRIDE_FLOAT, key, NULL, rope_bases[i] };
        struct verify_run run = { &o, 1, 0, N_PROSE, most_tokens, own, least_gain };
        double error, gain;
        if (!verify_score(v, &run, &s, err))
            return false;
        gain = verify_gain(own, &s, &error);
        bool decent = verify_bits_per_byte(&s) < poor_bits; /* in rubbish anything may be better than anything */
        if (s.n_tokens == own->n_tokens && decent && gain > best_gain && gain > least_errors * error) {
            best = rope_bases[i];
            best_gain = gain;
        }
        progress_show(&v->progress, i + 1, ARRAY_LEN(rope_bases), "");
    }
    if (best > 0)
        verify_say(v, VERIFY_PREDICTION, HEARTH_FINDING_PROBLEM, "wrong-rope-base", str_z(key),
                   "with a rope base of %g it predicts the texts better by %.2f nats a token, of %.2f: the file's own "
                   "base is wrong, and the right one is that or near it (or somebody changed it for longer texts)",
                   best, best_gain, own->sum / (double)own->n_tokens);
    return true;
}

/* In bits a byte, since the tokens are others: of prose, and of the other texts. Less than so much of them is no sign,
 * and what is gained in one group must not be lost in the other. */
static const double least_share = 0.03, lost_share = 0.01;
struct groups {
    double bits[2];
};

static bool score_groups(struct verify *v, const hearth_override *o, int most_tokens, struct groups *out,
                         hearth_error *err)
{
    struct verify_score s;
    for (int g = 0; g < 2; g++) {
        struct verify_run run = { .overrides = o, .n_overrides = o != NULL, .first = g ? N_PROSE : 0,
                                  .end = g ? n_verify_texts : N_PROSE, .most_tokens = most_tokens };
        if (!verify_score(v, &run, &s, err))
            return false;
        out->bits[g] = verify_bits_per_byte(&s);
    }
    return true;
}

/* The larger share of the bits that b saves; 0 where it is no better. */
static double saved(const struct groups *a, const struct groups *b)
{
    double x = 1 - b->bits[0] / a->bits[0], y = 1 - b->bits[1] / a->bits[1];
    return fmin(x, y) > -lost_share && fmax(x, y) > least_share ? fmax(x, y) : 0;
}

static bool try_pretokenizers(struct verify *v, int most_tokens, hearth_error *err)
{
    struct groups own, best = { { 0 } }, s;
    const char *name = NULL;
    double most = 0;
    if (v->n_pretoks == 0)
        return true;
    if (!score_groups(v, NULL, most_tokens, &own, err))
        return false;
    for (size_t i = 0; i < v->n_pretoks; i++) {
        hearth_override o = { HEARTH_OVERRIDE_TEXT, "tokenizer.ggml.pre", v->pretoks[i].name, 0 };
        if (!score_groups(v, &o, most_tokens, &s, err))
            return false;
        if (saved(&own, &s) > most) {
            most = saved(&own, &s);
            name = v->pretoks[i].name;
            best = s;
        }
        progress_show(&v->progress, i + 1, v->n_pretoks, "");
    }
    if (name)
        verify_say(v, VERIFY_PREDICTION, HEARTH_FINDING_PROBLEM, "wrong-pre-tokenizer", STR("tokenizer.ggml.pre"),
                   "with the pre-tokenizer \"%s\" it predicts prose at %.3f bits a byte instead of %.3f, and figures, "
                   "code and other languages at %.3f instead of %.3f: it was trained with that one, or one like it",
                   name, best.bits[0], own.bits[0], best.bits[1], own.bits[1]);
    return true;
}

/* One cause is enough: where the file is wrong in one way, other readings of it gain for no reason. */
static bool find_cause(struct verify *v, const struct verify_score *own, int most_tokens, hearth_error *err)
{
    size_t known = v->n_of_level[HEARTH_FINDING_PROBLEM];
    if (!verify_swaps(v, NULL, most_tokens, err))
        return false;
    if (v->n_of_level[HEARTH_FINDING_PROBLEM] == known && !try_bases(v, own, most_tokens, err))
        return false;
    if (v->n_of_level[HEARTH_FINDING_PROBLEM] == known && !try_pretokenizers(v, most_tokens, err))
        return false;
    return v->n_of_level[HEARTH_FINDING_PROBLEM] > known || verify_swaps(v, own, most_tokens, err);
}

bool verify_prediction(struct verify *v, hearth_error *err)
{
    struct verify_score own;
    int most = v->info.n_ctx_train > 0 ? min_int(MOST_TOKENS, v->info.n_ctx_train) : MOST_TOKENS;
    struct verify_run run = { .end = N_PROSE, .most_tokens = most };
    hearth_error problem = { 0 };
    if (v->info.pooling[0] && strcmp(v->info.pooling, "none") != 0) {
        verify_done(v, VERIFY_PREDICTION, "not asked for: it makes embeddings (pooling %s)", v->info.pooling);
        return true;
    }
    progress_begin(&v->progress, "readings");
    progress_doing(&v->progress, "predicting");
    if (!verify_score(v, &run, &own, &problem))
        return no_numbers(v, VERIFY_PREDICTION, &problem, err);
    if (own.n_tokens == 0)
        return fail(err, HEARTH_ERR_FORMAT, "the vocabulary makes no tokens of a text");
    judge(v, &own);
    if (!find_cause(v, &own, most, err))
        return false;
    progress_end(&v->progress);
    verify_done(v, VERIFY_PREDICTION, "%.3f bits a byte of plain prose, %.2f nats a token (letters by frequency: %.2f)",
                v->bits_per_byte, v->nll, v->chance_bits_per_byte);
    return true;
}
