/* rank.c: the classifier of models that judge documents. */
#include "model/forward.h"

bool model_check_ranks(const struct model *m, hearth_error *err)
{
    if (!m->global[G_CLS_OUT].mat.data)
        return fail(err, HEARTH_ERR_USAGE, "the file has no cls.output.weight, by which a model ranks documents");
    return m->hp.n_labels <= 2
           || fail(err, HEARTH_ERR_USAGE, "the file's classifier has %d labels; one that ranks has one or two",
                   m->hp.n_labels);
}

/* One row of activations, on the calling thread: these matrices are small. */
static void multiply(const struct kernels *k, struct workspace *ws, const struct weight *w, const float *x, float *y)
{
    enum act_kind kind = dtype_table[w->mat.type].act;
    struct act act;
    act_init(&act, k, kind, 1, w->mat.n_cols, ws->act[kind]);
    act_fill(&act, k, 0, x);
    gemm_rows(k, &w->mat, 0, w->mat.n_rows, &act, y, (size_t)w->mat.n_rows, ws->scratch);
}

float model_rank(const struct model *m, const struct kernels *k, struct workspace *ws, const float *state)
{
    const struct weight *g = m->global;
    float *wide = ws->out, logits[2] = { 0 };
    if (g[G_CLS].mat.data) {
        multiply(k, ws, &g[G_CLS], state, wide);
        k->soft_cap(wide, wide, m->hp.n_embd, 1); /* tanh */
        state = wide;
    }
    multiply(k, ws, &g[G_CLS_OUT], state, logits);
    return logits[0] - logits[1];
}
