/* forward.h: tokens in, logits or states out. One pass for every architecture.
 *
 * A pass runs over a batch: slices of several sequences side by side. Matrix products do not
 * care which row belongs to whom; attention runs per slice. The result of a row depends on
 * its own sequence alone, bit for bit (contract 1). */
#pragma once
#include "base/thread.h"
#include "kernel/attention.h"
#include "model/model.h"

/* Consecutive tokens of one sequence. Its KV pages cover first_pos + n_tokens. Where the model is not causal: all of
 * them, and first_pos is 0. */
struct batch_slice {
    int first_row, n_tokens, first_pos;
    struct kv_view kv;
    float *state; /* model_state_bytes() of what it keeps, after first_pos tokens; left as it is after the last. Nothing
                   * is read of it where first_pos is 0. 64-byte aligned; NULL: the model has no such layers */
};

struct batch {
    int n_tokens;
    const int32_t *tokens; /* [n_tokens], each below n_vocab */
    int n_slices;
    const struct batch_slice *slices; /* in order of rows, no gaps */
};

struct gemm_job; /* pass.h */
struct mat_rows; /* pass.h */

/* A token goes to n_experts_used experts: so many rows it has, "pairs" all tokens together. */
struct expert_space {
    float *logits;        /* [max_tokens][n_experts] of the router */
    int32_t *chosen;      /* [max_tokens][n_experts_used] the token's experts, the best first */
    float *weight;        /* the same: of each expert's result */
    int32_t *place;       /* the same: its row among all, which are sorted by expert */
    int32_t *token, *of;  /* [pairs] of each row: the token, and which of the active experts */
    int32_t *end;         /* [n_experts] where each expert's rows end */
    struct mat_rows *active; /* experts that have rows; [the fewer of n_experts and pairs] */
    float *down;          /* [pairs][n_embd] results; what goes in is in gate and up */
    float *shared_weight; /* [max_tokens] of the expert that all tokens have */
    void *act[N_ACT_KINDS];
};

/* All memory a pass touches besides weights and KV, laid out once. */
struct workspace {
    int max_tokens, max_logit_rows, n_threads;
    size_t bytes;
    float *x;               /* [max_tokens][n_embd] residual stream */
    float *q, *k, *v, *att; /* [max_tokens][..]; latent attention: v what queries come out of */
    float *gate, *up;       /* [max_tokens][n_ff]; of layers with experts first [pairs][n_ff_expert] */
    float *mix, *conv;      /* [max_tokens][n_mix], [n_conv] of recurrent layers; mix also queries: with
                           * their gates, or before they are in the latent's space */
    float *out;             /* [max_tokens][n_embd] what a block adds to x; then states */
    float *beside;          /* the same, of the first of two blocks side by side: attention, or feed-forward beside
                             * experts; else NULL */
    float *pieces;          /* [max_tokens][n_layers][n_embd_layer] of each token's embedding; NULL: there are none */
    float *cos[N_ROPE_TABLES], *sin[N_ROPE_TABLES]; /* [max_tokens][n_rot/2] */
    void *act[N_ACT_KINDS]; /* prepared activations, for kinds the model uses */
    struct expert_space experts; /* of a model that has some */
    struct mat_rows *heads; /* [n_heads] of latent attention: rows that each head's matrix takes */
    void *head_act[N_ACT_KINDS];
    struct gemm_job *jobs;  /* products of a stage */
    int32_t *row_pos;       /* [max_tokens] */
    int32_t *row_slice;
    int *slice_task;  /* [max_tokens] first attention task of each slice */
    float *dense;     /* [n_dense] of a text's vector after pooling; NULL where the model has no such layers */
    float *logits;    /* [max_logit_rows][n_vocab]; NULL where the model is not causal */
    float *seen;      /* [max_tokens][widest input of a matrix] for an observer; NULL: there is none */
    float *seen_rows; /* the same of rows that go to matrices behind one another */
    uint8_t *scratch; /* [n_threads][scratch_bytes] */
    size_t scratch_bytes;
};

/* What a workspace is laid out for. */
struct workspace_shape {
    int max_tokens, max_logit_rows, n_threads;
    bool observed; /* passes may have an observer */
};

/* With base NULL only bytes is meaningful. base must be 64-byte aligned and live as long as the workspace. */
void workspace_layout(struct workspace *ws, const struct model *m, const struct workspace_shape *shape, void *base);

/* Sees what each matrix is multiplied with, after the product, on the thread that runs the pass. */
struct observer {
    void (*see)(void *arg, const hearth_product *product); /* NULL: nobody looks */
    void *arg;
};

/* Where numbers went wrong; "" when everything is finite. */
struct probe {
    int layer;      /* -1: not in a layer */
    char name[128]; /* tensor after which the first NaN or Inf appeared */
};

/* Run the batch: fills KV and leaves the residual stream in ws->x. probe (may be NULL) checks
 * every stage's output: slow, only to explain a failure. observer may be NULL. */
void model_forward(const struct model *m, const struct kernels *k, struct pool *pool, struct workspace *ws,
                   const struct batch *b, struct probe *probe, const struct observer *observer);

/* States of n rows (at most max_tokens) of the batch just run, after the last norm, into ws->out: [n][n_embd]. What
 * embeddings are made of. */
void model_states(const struct model *m, const struct kernels *k, struct pool *pool, struct workspace *ws,
                  const int *rows, int n);

/* What the layers after pooling make of one vector: y[n_embd]; y may be x. For a model that has them. */
void model_dense(const struct model *m, const struct kernels *k, struct pool *pool, struct workspace *ws, float *y,
                 const float *x);

/* How well a document answers a query, by the state that says it: log-odds of the first label against the second, or
 * the logit of the only one. Uses ws->out. The model has a classifier: model_check_ranks(). */
float model_rank(const struct model *m, const struct kernels *k, struct workspace *ws, const float *state);

/* Logits of n rows (at most max_logit_rows) of the batch just run, into ws->logits. The model is causal. */
void model_logits(const struct model *m, const struct kernels *k, struct pool *pool, struct workspace *ws,
                  const int *rows, int n, const struct observer *observer);
