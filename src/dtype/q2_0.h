/* q2_0: 64 weights in 2 bits each, one half-precision scale.
 *
 *   w[i] = scale * (code(i) - 1)
 *
 * Code i is bits 2 * (i % 4) and the one above of byte i / 4. */
#ifndef DTYPE_Q2_0_LAYOUT
#define DTYPE_Q2_0_LAYOUT
#include <assert.h>

#include "dtype/half.h"

struct block_q2_0 {
    uint16_t scale; /* f16 */
    uint8_t codes[16];
};
static_assert(sizeof(struct block_q2_0) == 18, "q2_0 blocks are packed in files");

static inline void q2_0_block_to_f32(float *out, const void *block)
{
    const struct block_q2_0 *b = block;
    float scale = f16_to_f32(b->scale);
    for (int i = 0; i < 64; i++)
        out[i] = scale * (float)((b->codes[i / 4] >> 2 * (i % 4) & 3) - 1);
}

/* The scale is the smallest with which no value lies outside -scale .. 2 * scale. */
static inline void q2_0_block_from_f32(void *block, const float *x)
{
    struct block_q2_0 *b = block;
    float most = 0;
    for (int i = 0; i < 64; i++) {
        most = -x[i] > most ? -x[i] : most;
        most = x[i] / 2 > most ? x[i] / 2 : most;
    }
    memset(b, 0, sizeof *b);
    b->scale = f16_from_f32(most);
    float scale = f16_to_f32(b->scale);
    for (int i = 0; i < 64; i++) {
        int code = 1 + (scale > 0 ? nearest_int(x[i] / scale, -1, 2) : 0);
        b->codes[i / 4] |= (uint8_t)(code << 2 * (i % 4));
    }
}
#endif

#ifdef ISA
enum { q2_0_form = 0, q2_0_most = 2 };

/* Byte i has the 4 values of word i. */
TEMPLATE vi8 q2_0_word(const vi32 *w, const int at, const int i)
{
    vi32 byte = v_and32(v_shr32(word_at(w, at + 2 + i / 4 * 4), i % 4 * 8), v_set32(255));
    vi32 pairs = v_or32(byte, v_shl32(byte, 12));
    return v_code_u8(v_as8(v_and32(v_or32(pairs, v_shl32(pairs, 6)), v_set32(0x03030303))), 1);
}

/* In plain C, which compilers turn into a widening load, shifts and a mask. */
TEMPLATE vi8 q2_0_pair(const uint8_t *part0, const uint8_t *part1)
{
    uint32_t x[16];
    for (int i = 0; i < 16; i++) {
        uint32_t byte = i < 8 ? part0[2 + i] : part1[i - 6], pairs = byte | byte << 12;
        x[i] = (pairs | pairs << 6) & 0x03030303;
    }
    return v_code_u8(v_load8(x), 1);
}
#endif
