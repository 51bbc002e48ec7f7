#include "cli/divergence.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/interrupt.h"
#include "cli/loading.h"

static const char *const names[2] = { "A's model", "B's model" };

static size_t n_positions(const struct divergence_side *s) { return s->n_ids - s->from; }

/* ---- the models ---- */

struct opened {
    hearth_engine *engine;
    hearth_model *models[2]; /* both the same with one_model */
};

static void close_models(struct opened *o)
{
    hearth_model_release(o->models[0]);
    hearth_model_release(o->models[1]);
    hearth_engine_destroy(o->engine);
}

static bool count_tokens(struct divergence *d, hearth_error *err)
{
    hearth_file_info a, b;
    hearth_file_describe(d->side[0].file, &a);
    hearth_file_describe(d->side[1].file, &b);
    d->n_vocab = a.n_vocab;
    return a.n_vocab == b.n_vocab
           || fail(err, HEARTH_ERR_USAGE, "A's model has %d tokens and B's %d; compare models of one vocabulary",
                   a.n_vocab, b.n_vocab);
}

static bool open_models(struct divergence *d, struct opened *o, int n_threads, hearth_error *err)
{
    hearth_engine_options eo = { .n_threads = n_threads, .n_seqs = 1 };
    hearth_file *const files[2] = { d->side[0].file, d->side[1].file };
    hearth_model_options mo[2];
    int n = d->one_model ? 1 : 2;
    for (int i = 0; i < 2; i++)
        mo[i] = (hearth_model_options){ .source = d->side[i].source, .kv_type = d->side[i].kv_type,
                                        .n_ctx_tokens = (int)max_size(d->side[0].n_ids, d->side[1].n_ids) };
    o->engine = hearth_engine_create(&eo, err);
    if (!o->engine || (n == 2 && !hearth_engine_share(o->engine, files, mo, n, err)))
        return false;
    for (int i = 0; i < n; i++) {
        o->models[i] = loading_model(o->engine, &mo[i], err);
        if (!o->models[i])
            return err_context(err, "%s", names[i]);
    }
    if (n == 1) {
        o->models[1] = o->models[0];
        hearth_model_retain(o->models[1]);
    }
    return true;
}

/* ---- one model over some positions ---- */

struct scoring {
    struct divergence *d;
    struct divergence_side *side;
    size_t first;       /* position of rows[0] */
    float *rows;        /* [DIVERGENCE_ROWS][n_vocab] of A; NULL: no distribution is kept */
    bool compare;       /* with what is in rows; else they are put there */
    bool wrong_rows;    /* of another length than the file says */
};

static double probe(const struct divergence *d, int which, const float *logits, double all)
{
    int32_t id = d->probe[which];
    return id >= 0 && id < d->n_vocab ? (double)logits[id] - all : NAN;
}

/* On the engine thread, before the token's event. */
static void see_row(void *arg, size_t index, const float *logits, int n_vocab)
{
    struct scoring *x = arg;
    struct divergence *d = x->d;
    size_t at = index - x->side->from;
    int32_t token = x->side->ids[index];
    int top;
    if (n_vocab != d->n_vocab) {
        x->wrong_rows = true;
        return;
    }
    double all = kld_log_sum_exp(logits, n_vocab, &top);
    x->side->scored[at] = (struct scored){ .logprob = (double)logits[token] - all, .likeliest = top,
                                           .likeliest_logprob = (double)logits[top] - all };
    for (int i = 0; at == d->probe_at && i < 2; i++)
        x->side->probe_logprob[i] = probe(d, i, logits, all);
    float *row = x->rows ? x->rows + (at - x->first) * (size_t)n_vocab : NULL;
    size_t bytes = (size_t)n_vocab * sizeof *row;
    if (row && !x->compare)
        memcpy(row, logits, bytes);
    if (row && x->compare) {
        kld_compare(logits, row, n_vocab, token, &d->apart[at].k);
        d->apart[at].same_logits = memcmp(logits, row, bytes) == 0;
    }
}

/* To its END, whatever happens: see_row() may be called until then. */
static bool read_scores(struct scoring *x, hearth_stream *s, hearth_error *err)
{
    hearth_event e;
    size_t at = x->first;
    hearth_stream_on_wake(s, interrupt_wake, NULL);
    while (interrupt_next(s, &e))
        if (e.type == HEARTH_EVENT_TOKEN)
            x->side->scored[at++].mix = e.logits_mix;
    if (e.reason == HEARTH_END_ERROR)
        *err = *hearth_stream_error(s);
    if (e.reason == HEARTH_END_CANCELLED)
        fail(err, HEARTH_ERR_CANCELLED, "interrupted; nothing is said of a part of the answers");
    return e.reason == HEARTH_END_LENGTH
           && (!x->wrong_rows || fail(err, HEARTH_ERR_FORMAT, "it has other logits than its file says; it is damaged"));
}

static bool score(struct scoring *x, hearth_model *model, size_t n, hearth_error *err)
{
    hearth_request r = { .prompt_ids = x->side->ids, .n_prompt_ids = x->side->from + x->first + n, .score = true,
                         .score_from = x->side->from + x->first, .want_logits_mix = true, .on_logits = see_row,
                         .on_logits_arg = x };
    hearth_sampling_defaults(NULL, &r.sampling, NULL);
    hearth_stream *s = hearth_submit(model, &r, err);
    bool ok = s && read_scores(x, s, err);
    hearth_stream_close(s);
    return ok || err_context(err, "%s", names[x->side == &x->d->side[1]]);
}

/* ---- all of it ---- */

/* The same tokens under both: DIVERGENCE_ROWS by A, the same ones by B, and on. */
static bool score_together(struct divergence *d, struct opened *o, hearth_error *err)
{
    size_t n = n_positions(&d->side[0]);
    float *rows = mem_alloc(min_size(n, DIVERGENCE_ROWS) * (size_t)d->n_vocab * sizeof *rows);
    bool ok = rows || fail_memory(err, "the distributions of A's model");
    for (size_t at = 0; ok && at < n; at += DIVERGENCE_ROWS) {
        struct scoring a = { .d = d, .side = &d->side[0], .first = at, .rows = rows }, b = a;
        size_t n_now = min_size(n - at, DIVERGENCE_ROWS);
        b.side = &d->side[1];
        b.compare = true;
        ok = score(&a, o->models[0], n_now, err) && score(&b, o->models[1], n_now, err);
    }
    mem_free(rows);
    return ok;
}

static bool score_apart(struct divergence *d, struct opened *o, hearth_error *err)
{
    bool ok = true;
    for (int i = 0; ok && i < 2; i++) {
        struct scoring x = { .d = d, .side = &d->side[i] };
        size_t n = n_positions(x.side);
        ok = n == 0 || score(&x, o->models[i], n, err);
    }
    return ok;
}

/* One model over one text: it says the same twice. */
static bool score_once(struct divergence *d, struct opened *o, hearth_error *err)
{
    struct divergence_side *a = &d->side[0], *b = &d->side[1];
    struct scoring x = { .d = d, .side = a };
    size_t n = n_positions(a);
    if (!score(&x, o->models[0], n, err))
        return false;
    memcpy(b->scored, a->scored, n * sizeof *a->scored);
    memcpy(b->probe_logprob, a->probe_logprob, sizeof a->probe_logprob);
    for (size_t i = 0; i < n; i++) {
        double p = exp(a->scored[i].logprob);
        d->apart[i] = (struct apart){ .k = { .p = p, .p_reference = p, .same_top = true }, .same_logits = true };
    }
    return true;
}

bool divergence_run(struct divergence *d, int n_threads, hearth_error *err)
{
    struct opened o = { 0 };
    size_t n_apart = d->same_ids ? n_positions(&d->side[0]) : 0;
    bool ok = true;
    for (int i = 0; i < 2; i++) {
        struct divergence_side *s = &d->side[i];
        s->probe_logprob[0] = s->probe_logprob[1] = NAN;
        s->scored = mem_alloc((n_positions(s) + 1) * sizeof *s->scored);
        ok = ok && s->scored;
    }
    d->apart = d->same_ids ? mem_alloc((n_apart + 1) * sizeof *d->apart) : NULL;
    if (!ok || (d->same_ids && !d->apart))
        return fail_memory(err, "the list of positions");
    if (d->same_ids && n_apart == 0)
        return true;
    ok = count_tokens(d, err) && open_models(d, &o, n_threads, err)
         && (!d->same_ids ? score_apart : d->one_model ? score_once : score_together)(d, &o, err);
    close_models(&o);
    return ok;
}

void divergence_free(struct divergence *d)
{
    for (int i = 0; i < 2; i++)
        mem_free(d->side[i].scored);
    mem_free(d->apart);
    *d = (struct divergence){ 0 };
}
