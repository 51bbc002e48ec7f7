/* gemma3.c: Gemma 3, 270M to 27B, the part that reads text.
 *
 * As Gemma 2 without its caps, with norms of queries and keys. Traps: layers with the window, five of six, rotate by a
 * base of their own (10000 where no key says so) and without the scaling of the others; no key tells the 27B, which
 * scales attention by the width of a head's share, not by the head's size. */
#include <math.h>

#include "model/arch.h"

static void adjust(struct hparams *hp)
{
    if (hp->n_layers == 62 && !(hp->attention_scale > 0))
        hp->attention_scale = (float)(1 / sqrt((double)hp->n_embd / hp->n_heads));
}

const struct arch arch_gemma3 = {
    .name = "gemma3",
    .rope_halves = true,
    .activation = ACTIVATION_GELU_TANH,
    .windows = WINDOWS_BUT_FULL,
    .window_period = 6,
    .rope_local = true,
    .embedding_sqrt = true,
    .adjust = adjust,
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_qk_norm }, { tensors_post_norms }, { tensors_gated_ffn } },
};
