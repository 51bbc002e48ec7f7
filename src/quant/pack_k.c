/* pack_k.c: formats of 256 weights in groups with whole-number scales. */
#include <string.h>

#include "dtype/iq4_xs.h"
#include "dtype/q2_K.h"
#include "dtype/q3_K.h"
#include "dtype/q4_K.h"
#include "dtype/q5_K.h"
#include "dtype/q6_K.h"
#include "quant/pack.h"

void quant_pack_q2_K(void *block, const struct quant_fit *fit)
{
    struct block_q2_K *b = block;
    memset(b, 0, sizeof *b);
    b->d = fit->d;
    b->dmin = fit->m;
    for (int s = 0; s < 16; s++)
        b->scales[s] = (uint8_t)(fit->scale[s] | fit->min[s] << 4);
    for (int i = 0; i < 256; i++)
        b->codes[32 * (i / 128) + i % 32] |= (uint8_t)(fit->level[i] << 2 * (i % 128 / 32));
}

void quant_pack_q3_K(void *block, const struct quant_fit *fit)
{
    struct block_q3_K *b = block;
    memset(b, 0, sizeof *b);
    b->d = fit->d;
    for (int s = 0; s < 16; s++) {
        int scale = fit->scale[s] + 32;
        b->scales[s % 8] |= (uint8_t)((scale & 15) << (s < 8 ? 0 : 4));
        b->scales[8 + s % 4] |= (uint8_t)(scale >> 4 << 2 * (s / 4));
    }
    for (int i = 0; i < 256; i++) {
        int n = i / 128, k = i % 128 / 32, l = i % 32, code = fit->level[i] + 4;
        b->low[32 * n + l] |= (uint8_t)((code & 3) << 2 * k);
        b->high[l] |= (uint8_t)(code >> 2 << (4 * n + k));
    }
}

/* The low 4 bits of the levels: two groups of 32 share their bytes. */
static void pack_pairs(uint8_t nibbles[128], const int8_t *level)
{
    for (int i = 0; i < 128; i++) {
        const int8_t *low = level + 64 * (i / 32) + i % 32;
        nibbles[i] = (uint8_t)((low[0] & 15) | (low[32] & 15) << 4);
    }
}

void quant_pack_q4_K(void *block, const struct quant_fit *fit)
{
    struct block_q4_K *b = block;
    b->d = fit->d;
    b->dmin = fit->m;
    q4_K_pack_scales(b->scales, fit->scale, fit->min);
    pack_pairs(b->nibbles, fit->level);
}

void quant_pack_q5_K(void *block, const struct quant_fit *fit)
{
    struct block_q5_K *b = block;
    memset(b, 0, sizeof *b);
    b->d = fit->d;
    b->dmin = fit->m;
    q4_K_pack_scales(b->scales, fit->scale, fit->min);
    pack_pairs(b->nibbles, fit->level);
    for (int i = 0; i < 256; i++)
        b->high[i % 32] |= (uint8_t)(fit->level[i] >> 4 << i / 32);
}

void quant_pack_q6_K(void *block, const struct quant_fit *fit)
{
    struct block_q6_K *b = block;
    memset(b, 0, sizeof *b);
    b->d = fit->d;
    for (int s = 0; s < 16; s++)
        b->scales[s] = (int8_t)fit->scale[s];
    for (int i = 0; i < 256; i++) {
        int n = i / 128, k = i % 128 / 32, l = i % 32, code = fit->level[i] + 32;
        b->low[64 * n + l + 32 * (k % 2)] |= (uint8_t)((code & 15) << (k < 2 ? 0 : 4));
        b->high[32 * n + l] |= (uint8_t)(code >> 4 << 2 * k);
    }
}

void quant_pack_iq4_xs(void *block, const struct quant_fit *fit)
{
    struct block_iq4_xs *b = block;
    memset(b, 0, sizeof *b);
    b->d = fit->d;
    for (int s = 0; s < 8; s++) {
        int scale = fit->scale[s] + 32;
        int8_t code[32];
        b->scales_low[s / 2] |= (uint8_t)((scale & 15) << 4 * (s % 2));
        b->scales_high = (uint16_t)(b->scales_high | scale >> 4 << 2 * s);
        for (int i = 0; i < 32; i++)
            code[i] = (int8_t)iq4_nearest(fit->level[32 * s + i]);
        quant_pack_nibbles(b->nibbles + 16 * s, code, 0);
    }
}
