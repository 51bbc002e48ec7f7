/* pack.h: fitted blocks as the bytes of their format: quant_pack_<name>(block, fit) for each line of forms.def. */
#pragma once
#include "quant/fit.h"

#define FORM(name, ...) void quant_pack_##name(void *block, const struct quant_fit *fit);
#include "quant/forms.def"

/* Bytes whose low nibbles are levels[0..15] + offset and whose high ones are the next 16, their low 4 bits each. */
static inline void quant_pack_nibbles(uint8_t out[16], const int8_t *levels, int offset)
{
    for (int j = 0; j < 16; j++)
        out[j] = (uint8_t)(((levels[j] + offset) & 15) | ((levels[j + 16] + offset) & 15) << 4);
}
