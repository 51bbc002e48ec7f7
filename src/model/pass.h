/* pass.h: inside one forward pass; for model/forward.c and model/layer/ only.
 *
 * A stage is a function that all threads run at once; it takes tiles from pass->tiles, or runs of
 * them from pass->runs, until none is left. Between stages stands the pool's barrier. */
#pragma once
#include "model/forward.h"

enum { PASS_MAX_JOBS = 4, TILE_ROWS = 64, TILE_TOKENS = 4 }; /* jobs besides those of matrices behind one another */

/* Of rows that go to matrices behind one another (of experts, of heads), first .. first + n - 1 are this one's. */
struct mat_rows {
    int mat, first, n;
    struct act act[N_ACT_KINDS];
};

/* One matrix product of a stage: y = mat * x. */
struct gemm_job {
    const struct weight *w;
    struct mat mat; /* w's, or of its experts' one */
    const struct mat_rows *rows; /* of one of matrices behind one another; NULL: all rows */
    const struct act *x;
    float *y;
    size_t y_stride;
    int first_tile;
};

struct pass {
    const struct model *m;
    const struct kernels *k;
    struct pool *pool;
    struct workspace *ws;
    const struct batch *b;
    struct probe *probe;
    const struct observer *observer; /* NULL: nobody looks */
    int layer_index;
    int convolve_from; /* pass_convolve() */
    const struct layer *layer;
    struct tiles tiles;
    struct runs runs; /* of matrix products */

    /* what act_rows() reads: the rows' values, and what it prepares */
    struct act act[N_ACT_KINDS];
    unsigned act_mask;
    int act_tokens, act_cols;
    unsigned rows_act_mask; /* the same of pass_rows_begin() */
    int rows_cols;

    int n_jobs;   /* in ws->jobs */
    int n_active; /* in ws->experts.active */

    const int *rows; /* logits: which rows of x; NULL: all */
    int n_rows;

    /* norm stage: the norm, NULL vec: none; and what is added to x before it */
    const struct weight *norm, *norm_bias;
    float *normed; /* [n_rows][n_embd] where normed rows are kept, too; NULL: nowhere */
    bool no_act; /* nobody reads the normed rows: x alone is brought up to date */
    struct pending {
        bool out;              /* x += out */
        const float *out_norm; /* weight of a norm of out before it is added; may be NULL */
        const float *sum_norm, *sum_norm_bias; /* of a norm of x after it is, which is x then; may be NULL */
        const float *scale;    /* x times this number after all; may be NULL */
        bool beside;           /* out has the sum of two blocks */
    } pending;
};

static inline uint8_t *pass_scratch(const struct pass *p, int thread)
{
    return p->ws->scratch + (size_t)thread * p->ws->scratch_bytes;
}

/* Prepare activations of n_cols values for the kinds these weights need (absent ones are skipped). Every row of every
 * product goes through pass_act_row(), or pass_rows_fill() and pass_rows_share(), and every product through
 * pass_gemm_run(): that is what an observer sees. */
void pass_act_begin(struct pass *p, int n_tokens, int n_cols, const struct weight *const *w, int n_weights);
void pass_act_row(struct pass *p, int token, const float *x);
/* The kinds that they need: bit k is kind k. */
unsigned pass_act_mask(const struct weight *const *w, int n_weights);

/* The same for rows that go to matrices behind one another: rows[n], whose activations lie in mem, of each kind one
 * behind another; then, row for row of one of them. */
void pass_rows_begin(struct pass *p, struct mat_rows *rows, int n, void *const mem[N_ACT_KINDS], int n_cols,
                     const struct weight *const *w, int n_weights);
void pass_rows_fill(const struct pass *p, struct mat_rows *rows, int row, const float *x);
/* For rows that share the activations of a row of pass_act_row(): an observer sees that one's values. */
void pass_rows_share(const struct pass *p, struct mat_rows *rows, int token);

/* Stage: x += out where it is pending, as pending says; then h = norm(x), or x where there is none, as activations. */
void stage_norm(void *pass, int thread, int n_threads);
/* y = norm(x) of this model's kind; bias may be NULL. */
void pass_norm(const struct pass *p, float *y, const float *x, const float *weight, const float *bias, int n);

/* Run products of prepared activations; NULL-data weights are skipped. */
void pass_gemm_begin(struct pass *p);
void pass_gemm_add(struct pass *p, const struct weight *w, float *y, size_t y_stride);
/* Of such rows with their matrix. */
void pass_gemm_add_rows(struct pass *p, const struct weight *w, const struct mat_rows *rows, float *y, size_t y_stride);
void pass_gemm_run(struct pass *p);
/* activation(gate) * up, or activation(up) where there is no gate. Returns where: in gate, or in up, so that memory
 * that holds nothing need not come into a cache. */
float *pass_activate(const struct pass *p, float *gate, float *up, bool gated, int n);

void pass_run(struct pass *p, pool_fn *stage, int n_tiles);

/* Remember the first tensor whose output is not finite (only with a probe). */
void pass_probe(struct pass *p, const float *values, size_t n, const struct weight *w);

/* What kinds of attention share (layer/attention.c). Rotate the leading values of heads that stand head_dim apart. */
void pass_rotate(const struct pass *p, int row, float *x, int n_heads, int head_dim);
/* A token's key and value into its page; v NULL: the key has it. */
void pass_store(const struct pass *p, int row, const float *k, const float *v);
/* ws->att = attention of ws->q over the pages. */
void pass_attend(struct pass *p);
/* Latent attention has one key for all heads, of which a task takes so many: each makes a page's values floats for
 * itself, so many share that; fewer where some threads would have nothing to do. */
enum { LATENT_MOST_HEADS = 16, LATENT_FEW_HEADS = 4 };

/* What every kind of feed-forward begins and ends with: normed rows as activations for these weights; and what is left
 * in ws->out waits to be added. */
void pass_begin_ffn(struct pass *p, const struct weight *const *w, int n_weights);
void pass_end_ffn(struct pass *p);

/* What attention and recurrent layers begin with: normed rows as activations for these weights. */
void pass_begin_mixer(struct pass *p, const struct weight *const *w, int n_weights);
/* What attention and recurrent layers end with: rows of ws->att times this weight, left in ws->out (ws->beside where
 * feed-forward runs beside it), waits to be added. */
void pass_end_mixer(struct pass *p, const struct weight *w);

/* A slice's state in this layer. */
static inline float *pass_state(const struct pass *p, const struct batch_slice *slice)
{
    return slice->state + (size_t)p->layer->state_place * recurrence_floats(&p->m->hp);
}

/* ws->conv = silu(causal convolution of the columns of ws->mix from this one on). */
void pass_convolve(struct pass *p, int from);
void layer_short_conv(struct pass *p); /* layer/conv.c: as layer_attention() */
void layer_delta(struct pass *p);      /* layer/delta.c */
void layer_mamba(struct pass *p);      /* layer/mamba.c */
void layer_attention(struct pass *p); /* layer/attention.c: leaves its result in ws->out */
void layer_latent(struct pass *p);    /* layer/latent.c: the same */
/* layer/embd.c: pieces of the embeddings for all layers, into ws->pieces; and what a layer makes of its own. */
void pass_layer_pieces(struct pass *p);
void layer_embd(struct pass *p);
void layer_ffn(struct pass *p);       /* layer/ffn.c: the same */
void layer_moe(struct pass *p);       /* layer/moe.c: the same */
