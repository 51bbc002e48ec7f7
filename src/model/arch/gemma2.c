/* gemma2.c: Gemma 2, 2B to 27B.
 *
 * Norms before and after each block, GELU on the gate, embeddings times the root of the width, scores and logits
 * capped. Traps: every other layer, the first among them, has the window; files of the first weeks state neither caps
 * nor window; no key tells the 27B, which scales attention by the width of a head's share, not by the head's size. */
#include <math.h>

#include "model/arch.h"

static void adjust(struct hparams *hp)
{
    if (!hp->window)
        hp->window = 4096;
    if (!(hp->score_cap > 0))
        hp->score_cap = 50;
    if (!(hp->logit_cap > 0))
        hp->logit_cap = 30;
    if (hp->n_layers == 46 && !(hp->attention_scale > 0))
        hp->attention_scale = (float)(1 / sqrt((double)hp->n_embd / hp->n_heads));
}

const struct arch arch_gemma2 = {
    .name = "gemma2",
    .rope_halves = true,
    .activation = ACTIVATION_GELU_TANH,
    .windows = WINDOWS_BUT_FULL,
    .window_period = 2,
    .embedding_sqrt = true,
    .adjust = adjust,
    .global = tensors_global,
    .layer = { { tensors_attention }, { tensors_post_norms }, { tensors_gated_ffn } },
};
