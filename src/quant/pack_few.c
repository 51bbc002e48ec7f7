/* pack_few.c: formats of two to four levels and one scale. */
#include <string.h>

#include "dtype/q1_0.h"
#include "dtype/q2_0.h"
#include "dtype/tq1_0.h"
#include "dtype/tq2_0.h"
#include "quant/pack.h"

void quant_pack_tq1_0(void *block, const struct quant_fit *fit)
{
    struct block_tq1_0 *b = block;
    uint8_t digits[256];
    b->d = fit->d;
    for (int i = 0; i < 256; i++)
        digits[i] = (uint8_t)(fit->level[i] + 1);
    for (int l = 0; l < 32; l++)
        b->five[l] = tq1_0_pack(digits + l, 32, 5);
    for (int l = 0; l < 16; l++)
        b->five[32 + l] = tq1_0_pack(digits + 160 + l, 16, 5);
    for (int l = 0; l < 4; l++)
        b->four[l] = tq1_0_pack(digits + 240 + l, 4, 4);
}

void quant_pack_tq2_0(void *block, const struct quant_fit *fit)
{
    struct block_tq2_0 *b = block;
    memset(b, 0, sizeof *b);
    b->d = fit->d;
    for (int i = 0; i < 256; i++)
        b->codes[32 * (i / 128) + i % 32] |= (uint8_t)((fit->level[i] + 1) << 2 * (i % 128 / 32));
}

void quant_pack_q2_0(void *block, const struct quant_fit *fit)
{
    struct block_q2_0 *b = block;
    memset(b, 0, sizeof *b);
    b->scale = fit->d;
    for (int i = 0; i < 64; i++)
        b->codes[i / 4] |= (uint8_t)((fit->level[i] + 1) << 2 * (i % 4));
}

void quant_pack_q1_0(void *block, const struct quant_fit *fit)
{
    struct block_q1_0 *b = block;
    memset(b, 0, sizeof *b);
    b->scale = fit->d;
    for (int i = 0; i < 128; i++)
        b->bits[i / 8] |= (uint8_t)((fit->level[i] > 0) << i % 8);
}
