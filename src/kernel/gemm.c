#include "kernel/gemm.h"

#include "kernel/act.h"

/* Views handed to a kernel at once. */
enum { VIEWS = 64 };

void gemm_rows(const struct kernels *k, const struct mat *w, int row0, int row1, const struct act *x, float *y,
               size_t y_stride, void *scratch)
{
    const uint8_t *rows = w->data + (size_t)row0 * w->row_bytes;
    int n_rows = row1 - row0;
    const float *bias = w->bias ? w->bias + row0 : NULL;
    struct act_view v[VIEWS];
    if (n_rows <= 0 || x->n_tokens <= 0)
        return;
    if (x->n_tokens == 1) {
        act_view_of(x, 0, v);
        k->gemv[w->type](y + row0, rows, w->row_bytes, n_rows, w->n_cols, v);
        if (bias)
            k->add(y + row0, bias, n_rows);
        return;
    }
    for (int g = 0; g < x->n_groups; g += VIEWS) {
        int n = min_int(VIEWS, x->n_groups - g);
        for (int i = 0; i < n; i++)
            act_view_of(x, g + i, &v[i]);
        float *to = y + (size_t)g * (size_t)x->group_cols * y_stride + row0;
        k->gemm[w->type](to, y_stride, bias, rows, w->row_bytes, n_rows, w->n_cols, v, n, scratch);
    }
}
