/* imatrix.h: an importance matrix: for each weight matrix the sum over tokens of x^2 per input column, where x is what
 * the matrix is multiplied with. The error of a weight counts as much as its column's sum.
 *
 * Sums are in double, one token after the other, so they do not depend on threads or steps.
 *
 * File form: GGUF with general.type "imatrix", the keys imatrix.datasets (text array), imatrix.chunk_count and
 * imatrix.chunk_size (u32), and for each tensor NAME two f32 tensors: "NAME.in_sum2" [n_cols, n_mats], the sums, and
 * "NAME.counts" [1, n_mats], the number of tokens; n_mats is 1 but for tensors of experts, or of heads. */
#pragma once
#include "base/arena.h"
#include "hearth/hearth.h"

struct imatrix_row {
    const char *name; /* of the tensor; in the arena */
    int n_cols, n_mats;
    uint64_t *n_tokens; /* [n_mats]: an expert has those that chose it */
    double *sum2;       /* [n_mats][n_cols] */
};

struct imatrix {
    struct arena arena;
    struct imatrix_row *rows; /* [n], in the order of the first token's way through the model */
    size_t n, room;
    size_t next;   /* where the last product was found, and one on: products come in much the same order every time */
    bool failed;   /* out of memory: what is there is not all */
};

void imatrix_init(struct imatrix *m);
void imatrix_free(struct imatrix *m);
/* A hearth_model_options.on_product; arg: struct imatrix *. */
void imatrix_add(void *arg, const hearth_product *product);

/* What it was made from. */
struct imatrix_source {
    const char *dataset; /* the text's name */
    uint32_t n_chunks, n_chunk_tokens;
};
bool imatrix_write(const struct imatrix *m, const struct imatrix_source *from, const char *path, hearth_error *err);
