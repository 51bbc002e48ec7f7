/* latent.c: latent attention (MLA: arXiv 2405.04434) in the form that keeps the latent alone.
 *
 * Keys and values of all heads come out of one vector c of a token: head h has the key (K_h c, r), where r is rotated
 * and the same for all, and the value V_h c. As q . K_h c is K_h^T q . c, queries go through attn_k_b (which the file
 * has transposed) instead; so for attention there is one key (c, r) of all heads, c is its value, and what comes out
 * goes through attn_v_b, head by head. */
#include <string.h>

#include "model/pass.h"

/* Values of a token before attn_k_b: of each head a plain part, then one to rotate. */
static size_t n_raw(const struct hparams *hp) { return (size_t)hp->n_heads * (size_t)hp->n_head_key; }
static int n_plain(const struct hparams *hp) { return hp->n_head_key - hp->n_rot; }

static int token_tiles(const struct pass *p) { return (p->b->n_tokens + TILE_TOKENS - 1) / TILE_TOKENS; }

/* What queries come out of, where that is not the row itself. */
static void stage_norm_low(void *pass, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    struct pass *p = pass;
    int n = p->m->hp.n_q_rank;
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        for (int row = tile * TILE_TOKENS; row < min_int(p->b->n_tokens, (tile + 1) * TILE_TOKENS); row++) {
            float *x = p->ws->v + (size_t)row * (size_t)n;
            pass_norm(p, x, x, p->layer->w[W_Q_A_NORM].vec, NULL, n);
            pass_act_row(p, row, x);
        }
}

/* The key of a token, and its queries as far as they go without attn_k_b. */
static void finish_row(struct pass *p, int row)
{
    const struct hparams *hp = &p->m->hp;
    int n_heads = hp->n_heads, head_dim = p->layer->shape.head_dim;
    float *k = p->ws->k + (ptrdiff_t)row * head_dim, *q = p->ws->q + (ptrdiff_t)row * n_heads * head_dim;
    float *raw = p->ws->mix + (size_t)row * n_raw(hp);
    pass_norm(p, k, k, p->layer->w[W_KV_A_NORM].vec, NULL, hp->n_latent);
    pass_rotate(p, row, k + hp->n_latent, 1, hp->n_rot);
    pass_store(p, row, k, NULL);
    pass_rotate(p, row, raw + n_plain(hp), n_heads, hp->n_head_key);
    for (int h = 0; h < n_heads; h++) {
        const float *of_head = raw + (ptrdiff_t)h * hp->n_head_key;
        pass_rows_fill(p, &p->ws->heads[h], row, of_head);
        memcpy(q + (ptrdiff_t)h * head_dim + hp->n_latent, of_head + n_plain(hp), (size_t)hp->n_rot * sizeof *q);
    }
}

static void stage_finish(void *pass, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    struct pass *p = pass;
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        for (int row = tile * TILE_TOKENS; row < min_int(p->b->n_tokens, (tile + 1) * TILE_TOKENS); row++)
            finish_row(p, row);
}

/* Sums of latents, to where attn_v_b reads them. */
static void stage_sums(void *pass, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    struct pass *p = pass;
    int n_heads = p->m->hp.n_heads, n = p->m->hp.n_latent;
    for (int tile; (tile = tiles_take(&p->tiles)) < p->tiles.n;)
        for (int row = tile * TILE_TOKENS; row < min_int(p->b->n_tokens, (tile + 1) * TILE_TOKENS); row++)
            for (int h = 0; h < n_heads; h++)
                pass_rows_fill(p, &p->ws->heads[h], row, p->ws->att + ((ptrdiff_t)row * n_heads + h) * n);
}

/* Every head has all rows. */
static void begin_heads(struct pass *p, const struct weight *w)
{
    int t = p->b->n_tokens, n_heads = p->m->hp.n_heads;
    for (int h = 0; h < n_heads; h++)
        p->ws->heads[h] = (struct mat_rows){ .mat = h, .first = h * t, .n = t };
    pass_rows_begin(p, p->ws->heads, n_heads, p->ws->head_act, w->mat.n_cols, &w, 1);
}

/* Products of each head's rows with its matrix: into y, a row of it every y_stride, a head every `step` values. */
static void multiply_heads(struct pass *p, const struct weight *w, float *y, size_t y_stride, int step)
{
    pass_gemm_begin(p);
    for (int h = 0; h < p->m->hp.n_heads; h++)
        pass_gemm_add_rows(p, w, &p->ws->heads[h], y + (ptrdiff_t)h * step, y_stride);
    pass_gemm_run(p);
}

/* Raw queries, in ws->mix, and keys. */
static void project(struct pass *p)
{
    const struct hparams *hp = &p->m->hp;
    const struct weight *w = p->layer->w;
    struct workspace *ws = p->ws;
    size_t t = (size_t)p->b->n_tokens, n_key = (size_t)p->layer->shape.head_dim, n_low = (size_t)hp->n_q_rank;
    const struct weight *first = n_low ? &w[W_Q_A] : &w[W_Q];
    pass_begin_mixer(p, (const struct weight *[]){ first, &w[W_KV_A] }, 2);
    pass_gemm_begin(p);
    if (n_low)
        pass_gemm_add(p, &w[W_Q_A], ws->v, n_low);
    else
        pass_gemm_add(p, &w[W_Q], ws->mix, n_raw(hp));
    pass_gemm_add(p, &w[W_KV_A], ws->k, n_key);
    pass_gemm_run(p);
    pass_probe(p, ws->k, t * n_key, &w[W_KV_A]);
    if (n_low) {
        pass_probe(p, ws->v, t * n_low, &w[W_Q_A]);
        pass_act_begin(p, (int)t, hp->n_q_rank, (const struct weight *[]){ &w[W_Q] }, 1);
        pass_run(p, stage_norm_low, token_tiles(p));
        pass_gemm_begin(p);
        pass_gemm_add(p, &w[W_Q], ws->mix, n_raw(hp));
        pass_gemm_run(p);
    }
    pass_probe(p, ws->mix, t * n_raw(hp), &w[W_Q]);
}

void layer_latent(struct pass *p)
{
    const struct hparams *hp = &p->m->hp;
    const struct weight *w = p->layer->w;
    struct workspace *ws = p->ws;
    int n_heads = hp->n_heads, head_dim = p->layer->shape.head_dim;
    size_t t = (size_t)p->b->n_tokens, n_q = (size_t)n_heads * (size_t)head_dim;
    size_t n_sums = (size_t)n_heads * (size_t)hp->n_latent, n_values = (size_t)n_heads * (size_t)hp->n_head_value;

    project(p);
    begin_heads(p, &w[W_K_B]);
    pass_run(p, stage_finish, token_tiles(p));
    multiply_heads(p, &w[W_K_B], ws->q, n_q, head_dim);
    pass_probe(p, ws->q, t * n_q, &w[W_K_B]);

    pass_attend(p);
    pass_probe(p, ws->att, t * n_sums, &w[W_KV_A]);

    begin_heads(p, &w[W_V_B]);
    pass_run(p, stage_sums, token_tiles(p));
    multiply_heads(p, &w[W_V_B], ws->att, n_values, hp->n_head_value);
    pass_probe(p, ws->att, t * n_values, &w[W_V_B]);
    pass_end_mixer(p, &w[W_O]);
}
