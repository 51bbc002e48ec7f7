/* iq4.h: the 16 values of iq4_nl and iq4_xs. They were found by search and cannot be derived; they are those
 * of ggml (https://github.com/ggml-org/llama.cpp, MIT licence, copyright 2023-2026 the ggml authors). */
#pragma once
#include "dtype/half.h"

static const int8_t iq4_values[16] = {
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
};

/* The code whose value is nearest to x; a NaN gives 0. */
static inline int iq4_nearest(float x)
{
    int best = 0;
    for (int i = 1; i < 16; i++) {
        float middle = 0.5f * (float)(iq4_values[i - 1] + iq4_values[i]);
        if (x > middle)
            best = i;
    }
    return best;
}
