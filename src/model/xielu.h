/* xielu.h: xIELU, an activation that has numbers of its own in each layer (arXiv 2411.13010).
 *
 *   x > 0:  alpha_p x^2 + beta x
 *   else:   alpha_n (e^min(x, eps) - 1 - x) + beta x */
#pragma once
#include "base/err.h"
#include "format/gguf.h"

struct xielu {
    float alpha_p, alpha_n, beta, eps;
};

/* Of one of n_layers, out of xielu.*, where the alphas are what softplus was trained on. HEARTH_ERR_FORMAT names what
 * is missing or out of range. */
bool xielu_read(struct xielu *by, const struct gguf *g, int layer, int n_layers, hearth_error *err);
/* y may be x. The bits do not depend on the machine: plain arithmetic, which compilers make vectors of. */
void xielu(float *y, const float *x, int n, const struct xielu *by);
