/* moe.c: the feed-forward half of a layer with experts: norm, router, choice, gate and up of the chosen, activation,
 * down, and the weighted sum.
 *
 * Rows that go to experts ("pairs" of a token and one of its experts) are sorted by expert, so that an expert's weights
 * are read once for all its tokens, and all experts' products are one stage: a token alone has as few barriers as in a
 * dense layer. The sum runs over a token's experts from the best to the last, after the expert that all tokens have;
 * so no other token can change its bits. Where a dense block runs beside them, what it left is added then. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "model/pass.h"

/* ---- which experts a token has, and with what weights ---- */

static void softmax(const struct pass *p, float *x, int n)
{
    float max;
    p->k->argmax(x, n, &max);
    float sum = p->k->sum_exp(x, n, max);
    p->k->exp_row(x, x, n, max);
    for (int i = 0; i < n; i++)
        x[i] /= sum;
}

static void sigmoid(const struct pass *p, float *x, int n)
{
    p->k->scale(x, x, -1, n);
    p->k->exp_row(x, x, n, 0);
    for (int i = 0; i < n; i++)
        x[i] = 1 / (1 + x[i]);
}

/* The sum of the best two, or the best. */
static float group_score(const float *score, int n, bool two)
{
    float best = score[0], second = n > 1 ? -FLT_MAX : 0;
    for (int i = 1; i < n; i++) {
        second = fmaxf(second, fminf(best, score[i]));
        best = fmaxf(best, score[i]);
    }
    return two ? best + second : best;
}

/* Only experts of the best groups can be chosen: by their best two where experts are chosen by sigmoids (DeepSeek V3:
 * arXiv 2412.19437), by the best one where by a softmax (V2: arXiv 2405.04434). group: [n_expert_groups]. */
static void keep_groups(const struct pass *p, float *score, float *group)
{
    const struct hparams *hp = &p->m->hp;
    int n = hp->n_expert_groups, size = hp->n_experts / max_int(n, 1);
    float max;
    for (int g = 0; g < n; g++)
        group[g] = group_score(score + (size_t)g * (size_t)size, size, p->m->router.gating == GATING_SIGMOID);
    for (int i = 0; i < hp->n_expert_groups_used; i++)
        group[p->k->argmax(group, n, &max)] = -INFINITY;
    for (int g = 0; g < n; g++)
        for (int i = 0; group[g] > -INFINITY && i < size; i++)
            score[g * size + i] = -FLT_MAX;
}

/* Experts by score, the best first, of equal ones the lower. */
static void choose_best(const struct pass *p, float *score, int32_t *chosen)
{
    float max;
    for (int r = 0; r < p->m->hp.n_experts_used; r++) {
        chosen[r] = p->k->argmax(score, p->m->hp.n_experts, &max);
        score[chosen[r]] = -INFINITY; /* every other one is at least -FLT_MAX */
    }
}

static void weigh(const struct pass *p, const float *logits, const int32_t *chosen, float *weight)
{
    int n = p->m->hp.n_experts_used;
    for (int r = 0; r < n; r++)
        weight[r] = logits[chosen[r]];
    if (p->m->router.gating == GATING_SOFTMAX_CHOSEN)
        softmax(p, weight, n);
    float sum = 0;
    for (int r = 0; r < n; r++)
        sum += weight[r];
    for (int r = 0; p->m->router.weights_norm && r < n; r++)
        weight[r] /= sum;
    if (p->m->router.weights_scale != 1)
        p->k->scale(weight, weight, p->m->router.weights_scale, n);
    const float *of_expert = p->layer->w[W_EXPERT_SCALE].vec;
    for (int r = 0; of_expert && r < n; r++)
        weight[r] *= of_expert[chosen[r]];
}

/* scores: [2 * n_experts], the thread's. */
static void choose(struct pass *p, int row, float *scores)
{
    const struct hparams *hp = &p->m->hp;
    const struct weight *w = p->layer->w;
    const struct expert_space *e = &p->ws->experts;
    int n = hp->n_experts;
    size_t rank0 = (size_t)row * (size_t)hp->n_experts_used;
    float *logits = e->logits + (size_t)row * (size_t)n;
    if (w[W_ROUTER_NORM].vec)
        p->k->scale(logits, logits, 1 / sqrtf((float)hp->n_embd), n);
    if (w[W_ROUTER_BIAS].vec)
        p->k->add(logits, w[W_ROUTER_BIAS].vec, n);
    if (p->m->router.gating == GATING_SIGMOID)
        sigmoid(p, logits, n);
    else if (p->m->router.gating == GATING_SOFTMAX)
        softmax(p, logits, n);
    memcpy(scores, logits, (size_t)n * sizeof *scores);
    if (w[W_SELECT_BIAS].vec)
        p->k->add(scores, w[W_SELECT_BIAS].vec, n);
    for (int i = 0; i < n; i++) /* numbers in order, whatever the router says: its NaN shows in the weights */
        scores[i] = scores[i] >= -FLT_MAX ? scores[i] : -FLT_MAX;
    if (hp->n_expert_groups > 1)
        keep_groups(p, scores, scores + n);
    choose_best(p, scores, e->chosen + rank0);
    weigh(p, logits, e->chosen + rank0, e->weight + rank0);
    if (w[W_SHARED_ROUTER].mat.data)
        sigmoid(p, &e->shared_weight[row], 1);
}

static void stage_choose(void *pass, int thread, int n_threads)
{
    (void)n_threads;
    struct pass *p = pass;
    float *scores = (float *)(void *)pass_scratch(p, thread);
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        for (int row = tile * TILE_TOKENS; row < min_int(p->b->n_tokens, (tile + 1) * TILE_TOKENS); row++)
            choose(p, row, scores);
}

/* ---- rows by expert ---- */

static int n_pairs(const struct pass *p) { return p->b->n_tokens * p->m->hp.n_experts_used; }

/* Counting sort, tokens ascending within an expert. */
static void sort_rows(struct pass *p)
{
    struct expert_space *e = &p->ws->experts;
    int n_experts = p->m->hp.n_experts, used = p->m->hp.n_experts_used, pairs = n_pairs(p), first = 0;
    memset(e->end, 0, (size_t)n_experts * sizeof *e->end);
    for (int i = 0; i < pairs; i++)
        e->end[e->chosen[i]]++;
    p->n_active = 0;
    for (int x = 0; x < n_experts; x++) {
        int n = e->end[x];
        if (n)
            e->active[p->n_active++] = (struct mat_rows){ .mat = x, .first = first, .n = n };
        e->end[x] = first;
        first += n;
    }
    for (int i = 0; i < pairs; i++) {
        e->place[i] = e->end[e->chosen[i]]++;
        e->token[e->place[i]] = i / used;
    }
    for (int a = 0; a < p->n_active; a++)
        for (int i = 0; i < e->active[a].n; i++)
            e->of[e->active[a].first + i] = a;
}

static void begin_rows(struct pass *p, int n_cols, const struct weight *const *w, int n_weights)
{
    pass_rows_begin(p, p->ws->experts.active, p->n_active, p->ws->experts.act, n_cols, w, n_weights);
}

/* A token alone: its normed row is every expert's. */
static void share_row(struct pass *p)
{
    for (int a = 0; a < p->n_active; a++)
        pass_rows_share(p, &p->ws->experts.active[a], 0);
}

static void fill_row(const struct pass *p, int row, const float *x)
{
    const struct expert_space *e = &p->ws->experts;
    struct mat_rows *rows = &e->active[e->of[row]];
    pass_rows_fill(p, rows, row - rows->first, x);
}

/* Normed rows to their experts. */
static void stage_gather(void *pass, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    struct pass *p = pass;
    size_t n = (size_t)p->m->hp.n_embd;
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        for (int row = tile * TILE_TOKENS; row < min_int(n_pairs(p), (tile + 1) * TILE_TOKENS); row++)
            fill_row(p, row, p->normed + (size_t)p->ws->experts.token[row] * n);
}

/* ---- what experts compute ---- */

static int shared_width(const struct pass *p) { return p->layer->w[W_SHARED_UP].mat.n_rows; }

/* After all rows of the experts. */
static float *shared_rows(const struct pass *p, float *of)
{
    return of + (size_t)n_pairs(p) * (size_t)p->m->hp.n_ff_expert;
}

static void activate_row(struct pass *p, int row)
{
    const struct workspace *ws = p->ws;
    int n = p->m->hp.n_ff_expert;
    float *gate = ws->gate + (size_t)row * (size_t)n, *up = ws->up + (size_t)row * (size_t)n;
    fill_row(p, row, pass_activate(p, gate, up, p->layer->w[W_EXPERT_GATE].mat.data != NULL, n));
}

static void activate_shared(struct pass *p, int token)
{
    size_t n = (size_t)shared_width(p), at = (size_t)token * n;
    float *gate = shared_rows(p, p->ws->gate) + at, *up = shared_rows(p, p->ws->up) + at;
    bool gated = p->layer->w[W_SHARED_GATE].mat.data != NULL;
    pass_act_row(p, token, pass_activate(p, gate, up, gated, (int)n));
}

/* Rows of experts, then those of the shared one. */
static void stage_activate(void *pass, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    struct pass *p = pass;
    int pairs = n_pairs(p), all = pairs + (shared_width(p) ? p->b->n_tokens : 0);
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        for (int row = tile * TILE_TOKENS; row < min_int(all, (tile + 1) * TILE_TOKENS); row++)
            if (row < pairs)
                activate_row(p, row);
            else
                activate_shared(p, row - pairs);
}

/* What a block left that runs beside experts, each under its norm. */
static void add_dense(const struct pass *p, float *out, float *dense)
{
    const struct weight *w = p->layer->w;
    int n = p->m->hp.n_embd;
    pass_norm(p, out, out, w[W_EXPERT_POST_NORM].vec, NULL, n);
    pass_norm(p, dense, dense, w[W_DENSE_POST_NORM].vec, NULL, n);
    p->k->add(out, dense, n);
}

/* ws->out has the shared expert's result, where there is one. */
static void combine(const struct pass *p, int token)
{
    const struct hparams *hp = &p->m->hp;
    const struct expert_space *e = &p->ws->experts;
    size_t n = (size_t)hp->n_embd, rank0 = (size_t)token * (size_t)hp->n_experts_used;
    float *out = p->ws->out + (size_t)token * n;
    if (p->layer->w[W_SHARED_ROUTER].mat.data)
        p->k->scale(out, out, e->shared_weight[token], hp->n_embd);
    else if (!shared_width(p))
        memset(out, 0, n * sizeof *out);
    for (int r = 0; r < hp->n_experts_used; r++) {
        const float *result = e->down + (size_t)e->place[rank0 + (size_t)r] * n;
        p->k->add_scaled(out, result, e->weight[rank0 + (size_t)r], hp->n_embd);
    }
    if (p->layer->w[W_EXPERT_NORM].vec)
        add_dense(p, out, p->ws->beside + (size_t)token * n);
}

static void stage_combine(void *pass, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    struct pass *p = pass;
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        for (int token = tile * TILE_TOKENS; token < min_int(p->b->n_tokens, (tile + 1) * TILE_TOKENS); token++)
            combine(p, token);
}

static int tiles_of(int n_rows) { return (n_rows + TILE_TOKENS - 1) / TILE_TOKENS; }

/* A router that reads rows of its own. */
static void route_apart(struct pass *p)
{
    const struct weight *router = &p->layer->w[W_ROUTER];
    p->norm = &p->layer->w[W_ROUTER_NORM];
    p->norm_bias = NULL;
    pass_act_begin(p, p->b->n_tokens, p->m->hp.n_embd, &router, 1);
    pass_run(p, stage_norm, tiles_of(p->b->n_tokens));
    pass_gemm_begin(p);
    pass_gemm_add(p, router, p->ws->experts.logits, (size_t)p->m->hp.n_experts);
    pass_gemm_run(p);
    p->pending = (struct pending){ 0 };
}

static void begin_experts(struct pass *p, const struct weight *const *w, int n_weights)
{
    if (!p->layer->w[W_EXPERT_NORM].vec) {
        pass_begin_ffn(p, w, n_weights);
        return;
    }
    p->norm = &p->layer->w[W_EXPERT_NORM];
    p->norm_bias = NULL;
    pass_act_begin(p, p->b->n_tokens, p->m->hp.n_embd, w, n_weights);
    pass_run(p, stage_norm, tiles_of(p->b->n_tokens));
}

/* Norm, and everything that all tokens are multiplied with. */
static void route(struct pass *p)
{
    const struct weight *w = p->layer->w;
    struct workspace *ws = p->ws;
    size_t t = (size_t)p->b->n_tokens, n_experts = (size_t)p->m->hp.n_experts, n_shared = (size_t)shared_width(p);
    bool alone = t == 1, apart = w[W_ROUTER_NORM].vec != NULL;
    const struct weight *const readers[] = { &w[W_ROUTER], &w[W_SHARED_GATE], &w[W_SHARED_UP], &w[W_SHARED_ROUTER],
                                             &w[W_EXPERT_GATE], &w[W_EXPERT_UP] };
    if (apart)
        route_apart(p);
    p->normed = alone ? NULL : ws->out; /* which is free until down is computed */
    begin_experts(p, readers + apart, (int)ARRAY_LEN(readers) - apart - (alone ? 0 : 2));
    pass_gemm_begin(p);
    if (!apart)
        pass_gemm_add(p, &w[W_ROUTER], ws->experts.logits, n_experts);
    pass_gemm_add(p, &w[W_SHARED_ROUTER], ws->experts.shared_weight, 1);
    pass_gemm_add(p, &w[W_SHARED_GATE], shared_rows(p, ws->gate), n_shared);
    pass_gemm_add(p, &w[W_SHARED_UP], shared_rows(p, ws->up), n_shared);
    pass_gemm_run(p);
    pass_probe(p, ws->experts.logits, t * n_experts, &w[W_ROUTER]);
    if (w[W_SHARED_ROUTER].mat.data)
        pass_probe(p, ws->experts.shared_weight, t, &w[W_SHARED_ROUTER]);
    pass_probe(p, shared_rows(p, ws->gate), w[W_SHARED_GATE].mat.data ? t * n_shared : 0, &w[W_SHARED_GATE]);
    pass_probe(p, shared_rows(p, ws->up), t * n_shared, &w[W_SHARED_UP]);
    pass_run(p, stage_choose, tiles_of(p->b->n_tokens));
    sort_rows(p);
}

/* Products of the chosen experts with two matrices (or one): into rows of y. */
static void add_experts(struct pass *p, const struct weight *w, float *y, const struct weight *other, float *other_y)
{
    for (int a = 0; a < p->n_active; a++) {
        const struct mat_rows *rows = &p->ws->experts.active[a];
        size_t n = (size_t)w->mat.n_rows, at = (size_t)rows->first * n;
        pass_gemm_add_rows(p, w, rows, y + at, n);
        if (other)
            pass_gemm_add_rows(p, other, rows, other_y + at, n);
    }
}

void layer_moe(struct pass *p)
{
    const struct hparams *hp = &p->m->hp;
    const struct weight *w = p->layer->w;
    struct workspace *ws = p->ws;
    size_t pairs = (size_t)n_pairs(p), n_ff = (size_t)hp->n_ff_expert, n_embd = (size_t)hp->n_embd;

    route(p);
    begin_rows(p, hp->n_embd, (const struct weight *[]){ &w[W_EXPERT_GATE], &w[W_EXPERT_UP] }, 2);
    if (p->normed)
        pass_run(p, stage_gather, tiles_of((int)pairs));
    else
        share_row(p);
    p->normed = NULL;
    pass_gemm_begin(p);
    add_experts(p, &w[W_EXPERT_UP], ws->up, &w[W_EXPERT_GATE], ws->gate);
    pass_gemm_run(p);
    pass_probe(p, ws->gate, w[W_EXPERT_GATE].mat.data ? pairs * n_ff : 0, &w[W_EXPERT_GATE]);
    pass_probe(p, ws->up, pairs * n_ff, &w[W_EXPERT_UP]);

    pass_act_begin(p, p->b->n_tokens, shared_width(p), (const struct weight *[]){ &w[W_SHARED_DOWN] }, 1);
    begin_rows(p, hp->n_ff_expert, (const struct weight *[]){ &w[W_EXPERT_DOWN] }, 1);
    pass_run(p, stage_activate, tiles_of((int)pairs + (shared_width(p) ? p->b->n_tokens : 0)));
    pass_gemm_begin(p);
    pass_gemm_add(p, &w[W_SHARED_DOWN], ws->out, n_embd);
    add_experts(p, &w[W_EXPERT_DOWN], ws->experts.down, NULL, NULL);
    pass_gemm_run(p);
    pass_probe(p, ws->out, shared_width(p) ? (size_t)p->b->n_tokens * n_embd : 0, &w[W_SHARED_DOWN]);
    pass_probe(p, ws->experts.down, pairs * n_embd, &w[W_EXPERT_DOWN]);

    pass_run(p, stage_combine, tiles_of(p->b->n_tokens));
    pass_end_ffn(p);
}
