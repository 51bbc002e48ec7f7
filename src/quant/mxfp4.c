/* mxfp4.c: the scale is a power of two, so there is nothing to solve: the exponents around the one that spans the
 * block are tried, which is exhaustive (two below clips most of it, one above wastes half of the levels). */
#include <string.h>

#include "dtype/mxfp4.h"
#include "quant/fit.h"

bool quant_fit_mxfp4(void *block, const float *x, const float *w)
{
    struct block_mxfp4 spanning, b;
    double best = 0;
    bool found = false;
    mxfp4_block_from_f32(&spanning, x);
    for (int step = -2; step <= 1; step++) {
        int exponent = spanning.exponent + step;
        float decoded[32];
        double error = 0;
        if (exponent < 0 || exponent > 254)
            continue;
        b.exponent = (uint8_t)exponent;
        float scale = bf16_to_f32(e8m0_half_bf16(b.exponent));
        for (int j = 0; j < 16; j++)
            b.nibbles[j] = (uint8_t)(mxfp4_nearest(x[j] / scale) | mxfp4_nearest(x[j + 16] / scale) << 4);
        mxfp4_block_to_f32(decoded, &b);
        for (int i = 0; i < 32; i++)
            error += (double)w[i] * ((double)x[i] - (double)decoded[i]) * ((double)x[i] - (double)decoded[i]);
        if (found && !(error < best))
            continue;
        found = true;
        best = error;
        memcpy(block, &b, sizeof b);
    }
    return found;
}
