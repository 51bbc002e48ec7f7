#include "model/pass.h"

#include <stdio.h>
#include <string.h>

void pass_run(struct pass *p, pool_fn *stage, int n_tiles)
{
    tiles_reset(&p->tiles, n_tiles);
    if (n_tiles > 1)
        pool_run(p->pool, stage, p);
    else
        stage(p, 0, 1); /* nothing to share: spare the hand-off */
}

/* ---- activations ---- */

unsigned pass_act_mask(const struct weight *const *w, int n_weights)
{
    unsigned mask = 0;
    for (int i = 0; i < n_weights; i++)
        if (w[i]->mat.data)
            mask |= 1u << dtype_table[w[i]->mat.type].act;
    return mask;
}

void pass_act_begin(struct pass *p, int n_tokens, int n_cols, const struct weight *const *w, int n_weights)
{
    p->act_mask = pass_act_mask(w, n_weights);
    p->act_tokens = n_tokens;
    p->act_cols = n_cols;
    for (int kind = 0; kind < N_ACT_KINDS; kind++)
        if (p->act_mask >> kind & 1)
            act_init(&p->act[kind], p->k, (enum act_kind)kind, n_tokens, n_cols, p->ws->act[kind]);
}

void pass_act_row(struct pass *p, int token, const float *x)
{
    for (int kind = 0; kind < N_ACT_KINDS; kind++)
        if (p->act_mask >> kind & 1)
            act_fill(&p->act[kind], p->k, token, x);
    if (p->observer)
        memcpy(p->ws->seen + (size_t)token * (size_t)p->act_cols, x, (size_t)p->act_cols * sizeof *x);
}

void pass_rows_begin(struct pass *p, struct mat_rows *rows, int n, void *const mem[N_ACT_KINDS], int n_cols,
                     const struct weight *const *w, int n_weights)
{
    p->rows_act_mask = pass_act_mask(w, n_weights);
    p->rows_cols = n_cols;
    for (int i = 0; i < n; i++)
        for (int kind = 0; kind < N_ACT_KINDS; kind++)
            if (p->rows_act_mask >> kind & 1)
                act_init(&rows[i].act[kind], p->k, (enum act_kind)kind, rows[i].n, n_cols,
                         (uint8_t *)mem[kind] + act_kind_bytes((enum act_kind)kind, rows[i].first, n_cols));
}

/* What an observer sees of them. */
static float *seen_rows(const struct pass *p, const struct mat_rows *rows)
{
    return p->ws->seen_rows + (size_t)rows->first * (size_t)p->rows_cols;
}

void pass_rows_fill(const struct pass *p, struct mat_rows *rows, int row, const float *x)
{
    for (int kind = 0; kind < N_ACT_KINDS; kind++)
        if (p->rows_act_mask >> kind & 1)
            act_fill(&rows->act[kind], p->k, row, x);
    if (p->observer)
        memcpy(seen_rows(p, rows) + (size_t)row * (size_t)p->rows_cols, x, (size_t)p->rows_cols * sizeof *x);
}

void pass_rows_share(const struct pass *p, struct mat_rows *rows, int token)
{
    size_t n = (size_t)p->act_cols;
    memcpy(rows->act, p->act, sizeof p->act);
    if (p->observer)
        memcpy(seen_rows(p, rows), p->ws->seen + (size_t)token * n, n * sizeof *p->ws->seen);
}

void pass_norm(const struct pass *p, float *y, const float *x, const float *weight, const float *bias, int n)
{
    if (p->m->arch->norm == NORM_LAYER) {
        p->k->layernorm(y, x, weight, bias, n, p->m->hp.norm_eps);
        return;
    }
    p->k->rmsnorm(y, x, weight, n, p->m->hp.norm_eps);
    if (bias)
        p->k->add(y, bias, n);
}

/* What the block before left is now added to the residual stream. */
static void add_pending(const struct pass *p, float *x, size_t at)
{
    int n = p->m->hp.n_embd;
    float *out = p->ws->out + at;
    if (p->pending.out_norm)
        pass_norm(p, out, out, p->pending.out_norm, NULL, n);
    if (p->pending.beside)
        p->k->add(out, p->ws->beside + at, n);
    p->k->add_scaled(x, out, p->m->residual_scale, n);
    if (p->pending.sum_norm)
        pass_norm(p, x, x, p->pending.sum_norm, p->pending.sum_norm_bias, n);
    if (p->pending.scale)
        p->k->scale(x, x, *p->pending.scale, n);
}

static void norm_row(struct pass *p, int i, float *h)
{
    size_t n = (size_t)p->m->hp.n_embd, row = p->rows ? (size_t)p->rows[i] : (size_t)i;
    float *x = p->ws->x + row * n;
    if (p->pending.out)
        add_pending(p, x, row * n);
    if (p->no_act)
        return;
    if (p->norm && p->norm->vec)
        pass_norm(p, h, x, p->norm->vec, p->norm_bias ? p->norm_bias->vec : NULL, (int)n);
    const float *normed = p->norm && p->norm->vec ? h : x;
    if (p->normed)
        memcpy(p->normed + (size_t)i * n, normed, n * sizeof *normed);
    pass_act_row(p, i, normed);
}

void stage_norm(void *pass, int thread, int n_threads)
{
    (void)n_threads;
    struct pass *p = pass;
    float *h = (float *)(void *)pass_scratch(p, thread);
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        for (int i = tile * TILE_TOKENS; i < min_int(p->n_rows, (tile + 1) * TILE_TOKENS); i++)
            norm_row(p, i, h);
}

void pass_begin_ffn(struct pass *p, const struct weight *const *w, int n_weights)
{
    bool beside = p->layer->parallel;
    p->norm = &p->layer->w[beside ? W_ATTN_NORM : W_FFN_NORM];
    p->norm_bias = &p->layer->w[beside ? W_ATTN_NORM_BIAS : W_FFN_NORM_BIAS];
    pass_act_begin(p, p->b->n_tokens, p->m->hp.n_embd, w, n_weights);
    pass_run(p, stage_norm, (p->b->n_tokens + TILE_TOKENS - 1) / TILE_TOKENS);
}

void pass_end_ffn(struct pass *p)
{
    p->pending = (struct pending){ .out = true,
                                   .out_norm = p->layer->w[W_FFN_POST_NORM].vec,
                                   .sum_norm = p->layer->w[W_FFN_SUM_NORM].vec,
                                   .sum_norm_bias = p->layer->w[W_FFN_SUM_NORM_BIAS].vec,
                                   .scale = p->layer->w[W_EMBD_GATE].mat.data ? NULL : p->layer->w[W_OUT_SCALE].vec,
                                   .beside = p->layer->parallel };
}

/* ---- matrix products ---- */

void pass_gemm_begin(struct pass *p) { p->n_jobs = 0; }

/* The tile after the last job's. */
static int n_tiles(const struct pass *p)
{
    const struct gemm_job *last = &p->ws->jobs[p->n_jobs - 1];
    return p->n_jobs ? last->first_tile + (last->mat.n_rows + TILE_ROWS - 1) / TILE_ROWS : 0;
}

void pass_gemm_add(struct pass *p, const struct weight *w, float *y, size_t y_stride)
{
    if (w->mat.data)
        p->ws->jobs[p->n_jobs] = (struct gemm_job){ .w = w, .mat = w->mat, .x = &p->act[dtype_table[w->mat.type].act],
                                                    .y = y, .y_stride = y_stride, .first_tile = n_tiles(p) };
    p->n_jobs += w->mat.data != NULL;
}

void pass_gemm_add_rows(struct pass *p, const struct weight *w, const struct mat_rows *rows, float *y, size_t y_stride)
{
    if (w->mat.data)
        p->ws->jobs[p->n_jobs] = (struct gemm_job){ .w = w, .mat = weight_mat(w, rows->mat), .rows = rows,
                                                    .x = &rows->act[dtype_table[w->mat.type].act], .y = y,
                                                    .y_stride = y_stride, .first_tile = n_tiles(p) };
    p->n_jobs += w->mat.data != NULL;
}

/* The job whose tile this is; jobs stand in the order of their tiles. */
static const struct gemm_job *job_of(const struct pass *p, int tile)
{
    int low = 0, high = p->n_jobs - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (p->ws->jobs[middle].first_tile <= tile)
            low = middle;
        else
            high = middle - 1;
    }
    return &p->ws->jobs[low];
}

/* Tiles begin .. end of all jobs, those that belong to this one. */
static void gemm_tiles(const struct pass *p, const struct gemm_job *job, int begin, int end, void *scratch)
{
    int row0 = max_int(0, begin - job->first_tile) * TILE_ROWS;
    int row1 = min_int(job->mat.n_rows, (end - job->first_tile) * TILE_ROWS);
    gemm_rows(p->k, &job->mat, row0, row1, job->x, job->y, job->y_stride, scratch);
}

static void stage_gemm(void *pass, int thread, int n_threads)
{
    struct pass *p = pass;
    (void)n_threads;
    for (int n, tile; (tile = runs_take(&p->runs, thread, &n)) >= 0;)
        for (const struct gemm_job *job = job_of(p, tile), *end = p->ws->jobs + p->n_jobs;
             job < end && job->first_tile < tile + n; job++)
            gemm_tiles(p, job, tile, tile + n, pass_scratch(p, thread));
}

static void show_product(const struct pass *p, const struct gemm_job *job)
{
    const struct mat_rows *rows = job->rows;
    const hearth_product seen = { .tensor = { job->w->name.ptr, job->w->name.len },
                                  .x = rows ? seen_rows(p, rows) : p->ws->seen,
                                  .n_rows = rows ? rows->n : p->act_tokens,
                                  .n_cols = rows ? p->rows_cols : p->act_cols,
                                  .mat = rows ? rows->mat : 0,
                                  .n_mats = job->w->n_mats };
    p->observer->see(p->observer->arg, &seen);
}

void pass_gemm_run(struct pass *p)
{
    runs_reset(&p->runs, n_tiles(p), pool_active(p->pool));
    pass_run(p, stage_gemm, n_tiles(p));
    for (int j = 0; p->observer && j < p->n_jobs; j++)
        show_product(p, &p->ws->jobs[j]);
}

float *pass_activate(const struct pass *p, float *gate, float *up, bool gated, int n)
{
    float *to = gated ? gate : up;
    if (gated)
        p->k->activate[p->m->arch->activation](to, gate, up, n);
    else if (p->m->arch->xielu)
        xielu(to, up, n, &p->layer->xielu);
    else
        p->k->activate[p->m->arch->activation](to, up, NULL, n);
    return to;
}

/* ---- mixers ---- */

void pass_begin_mixer(struct pass *p, const struct weight *const *w, int n_weights)
{
    p->norm = &p->layer->w[W_ATTN_NORM];
    p->norm_bias = &p->layer->w[W_ATTN_NORM_BIAS];
    pass_act_begin(p, p->b->n_tokens, p->m->hp.n_embd, w, n_weights);
    pass_run(p, stage_norm, (p->b->n_tokens + TILE_TOKENS - 1) / TILE_TOKENS);
}

static void stage_att_to_act(void *pass, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    struct pass *p = pass;
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        for (int row = tile * TILE_TOKENS; row < min_int(p->b->n_tokens, (tile + 1) * TILE_TOKENS); row++)
            pass_act_row(p, row, p->ws->att + (size_t)row * (size_t)p->act_cols);
}

void pass_end_mixer(struct pass *p, const struct weight *w)
{
    bool beside = p->layer->parallel;
    int t = p->b->n_tokens;
    size_t n_embd = (size_t)p->m->hp.n_embd;
    float *out = beside ? p->ws->beside : p->ws->out;
    pass_act_begin(p, t, w->mat.n_cols, &w, 1);
    pass_run(p, stage_att_to_act, (t + TILE_TOKENS - 1) / TILE_TOKENS);
    pass_gemm_begin(p);
    pass_gemm_add(p, w, out, n_embd);
    pass_gemm_run(p);
    pass_probe(p, out, (size_t)t * n_embd, w);
    p->pending = (struct pending){ .out = !beside,
                                   .out_norm = p->layer->w[W_ATTN_POST_NORM].vec,
                                   .sum_norm = p->layer->w[W_ATTN_SUM_NORM].vec,
                                   .sum_norm_bias = p->layer->w[W_ATTN_SUM_NORM_BIAS].vec };
}

/* ---- the probe ---- */

void pass_probe(struct pass *p, const float *values, size_t n, const struct weight *w)
{
    if (!p->probe || p->probe->name[0])
        return;
    while (n > 0) {
        int piece = (int)min_size(n, 1 << 20);
        if (!p->k->all_finite(values, piece)) {
            p->probe->layer = p->layer ? p->layer_index : -1;
            snprintf(p->probe->name, sizeof p->probe->name, STR_FMT, STR_ARG(w->name));
            return;
        }
        values += piece;
        n -= (size_t)piece;
    }
}
