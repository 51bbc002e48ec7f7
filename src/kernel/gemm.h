/* gemm.h: weight matrix times a batch of activation rows, on top of the kernel table. */
#pragma once
#include "kernel/kernel.h"

/* A weight matrix in its file: n_rows outputs, n_cols inputs. */
struct mat {
    enum dtype type;
    const uint8_t *data;
    size_t row_bytes;
    int n_rows, n_cols;
    const float *bias; /* [n_rows] added to each product; NULL: none */
};

/* A batch of activation rows prepared for one kind of weight format. Memory is the caller's. */
struct act {
    enum act_kind kind;
    int n_tokens, n_cols;
    int group_cols;     /* columns per group: balanced, at most what the table takes */
    int n_groups;
    uint8_t *mem;
    size_t group_bytes;
};

/* Memory for n_tokens rows of n_cols values, in the most demanding kind. 64-byte aligned. */
size_t act_bytes(int n_tokens, int n_cols);
/* In this kind; a multiple of 64. Of n rows and of m it is together what it is of n + m. */
size_t act_kind_bytes(enum act_kind kind, int n_tokens, int n_cols);
/* Lay a batch out in mem (act_bytes(), 64-byte aligned). */
void act_init(struct act *a, const struct kernels *k, enum act_kind kind, int n_tokens, int n_cols, void *mem);
/* Prepare row `token`. Rows are independent: any thread, any order. */
void act_fill(struct act *a, const struct kernels *k, int token, const float *x);

/* y[t * y_stride + r] = dot(w row r, activation row t) + bias[r] for rows row0 <= r < row1 and every t.
 * row0 must be a multiple of 16. x->kind must be dtype_table[w->type].act; scratch as
 * kernel_scratch_bytes(n_cols), one per thread, 64-byte aligned. */
void gemm_rows(const struct kernels *k, const struct mat *w, int row0, int row1, const struct act *x, float *y,
               size_t y_stride, void *scratch);
