/* pack_32.c: formats of 32 weights and one scale. */
#include <string.h>

#include "dtype/iq4_nl.h"
#include "dtype/q4_0.h"
#include "dtype/q4_1.h"
#include "dtype/q5_0.h"
#include "dtype/q5_1.h"
#include "dtype/q8_0.h"
#include "quant/pack.h"

void quant_pack_q4_0(void *block, const struct quant_fit *fit)
{
    struct block_q4_0 *b = block;
    b->scale = fit->d;
    quant_pack_nibbles(b->nibbles, fit->level, 8);
}

/* x = scale * level - m * min with min -1. */
void quant_pack_q4_1(void *block, const struct quant_fit *fit)
{
    struct block_q4_1 *b = block;
    b->scale = fit->d;
    b->min = fit->m;
    quant_pack_nibbles(b->nibbles, fit->level, 0);
}

static void pack_fifth_bits(uint8_t high[4], const int8_t *level, int offset)
{
    memset(high, 0, 4);
    for (int i = 0; i < 32; i++)
        high[i / 8] |= (uint8_t)((level[i] + offset) >> 4 << i % 8);
}

void quant_pack_q5_0(void *block, const struct quant_fit *fit)
{
    struct block_q5_0 *b = block;
    b->scale = fit->d;
    quant_pack_nibbles(b->nibbles, fit->level, 16);
    pack_fifth_bits(b->high, fit->level, 16);
}

void quant_pack_q5_1(void *block, const struct quant_fit *fit)
{
    struct block_q5_1 *b = block;
    b->scale = fit->d;
    b->min = fit->m;
    quant_pack_nibbles(b->nibbles, fit->level, 0);
    pack_fifth_bits(b->high, fit->level, 0);
}

void quant_pack_q8_0(void *block, const struct quant_fit *fit)
{
    struct block_q8_0 *b = block;
    b->scale = fit->d;
    memcpy(b->codes, fit->level, sizeof b->codes);
}

void quant_pack_iq4_nl(void *block, const struct quant_fit *fit)
{
    struct block_iq4_nl *b = block;
    int8_t code[32];
    b->scale = fit->d;
    for (int i = 0; i < 32; i++)
        code[i] = (int8_t)iq4_nearest(fit->level[i]);
    quant_pack_nibbles(b->nibbles, code, 0);
}
