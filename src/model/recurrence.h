/* recurrence.h: layers that keep a state of fixed size instead of keys and values.
 *
 * What a sequence has in such a layer, f32:
 *
 *   tail    [n_taps - 1][n_conv]  inputs of the convolution of the last tokens, the oldest first
 *   matrix  [n_state_heads][n_state][n_inner / n_state_heads]  what its heads remember; short convolutions have none
 *
 * Before the first token all of it is zero. A token's step is done in one order of arithmetic, token after token, so
 * the state after a token does not depend on how the tokens before it were put into steps (contract 1). */
#pragma once
#include "model/hparams.h"

enum recurrence {
    RECURRENCE_NONE,
    RECURRENCE_SHORT_CONV, /* LFM2: a gate, the convolution of each channel, another gate */
    RECURRENCE_DELTA,      /* gated delta nets */
    RECURRENCE_MAMBA,      /* Mamba-2 */
};

/* Channels that are convolved together. */
enum { RECURRENCE_MAX_TAPS = 16, RECURRENCE_CHANNELS = 256 };

/* What metadata say of such layers, after hparams_read(). */
bool recurrence_read(struct hparams *hp, const struct gguf *g, const char *arch, enum recurrence kind,
                     hearth_error *err);

/* Of one layer: 0 where hp has none, and a multiple of 16. */
size_t recurrence_floats(const struct hparams *hp);
/* Of a thread's scratch. */
static inline size_t recurrence_scratch_bytes(const struct hparams *hp)
{
    int values = hp->n_state_heads ? hp->n_inner / hp->n_state_heads : 0;
    return (size_t)max_int(hp->n_taps * RECURRENCE_CHANNELS, values) * sizeof(float);
}
static inline size_t recurrence_tail_floats(const struct hparams *hp)
{
    return (size_t)max_int(hp->n_taps - 1, 0) * (size_t)hp->n_conv;
}
