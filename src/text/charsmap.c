#include "text/charsmap.h"

#include <string.h>

static uint32_t read_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

bool charsmap_open(struct charsmap *c, struct str blob, hearth_error *err)
{
    static const char key[] = "tokenizer.ggml.precompiled_charsmap";
    *c = (struct charsmap){ 0 };
    if (blob.len == 0)
        return true;
    size_t n = blob.len >= 4 ? read_u32((const uint8_t *)blob.ptr) : 0;
    if (n < 4 || n % 4 != 0 || n > blob.len - 4)
        return fail(err, HEARTH_ERR_FORMAT, "%s has %zu bytes and a table of %zu in it; the file is damaged", key,
                    blob.len, n);
    struct str text = { blob.ptr + 4 + n, blob.len - 4 - n };
    if (text.len == 0 || text.ptr[text.len - 1] != 0)
        return fail(err, HEARTH_ERR_FORMAT, "%s does not end with a 0; the file is damaged", key);
    for (size_t at = 0; at < text.len;) {
        size_t len = strlen(text.ptr + at);
        if (len > CHARSMAP_MAX_BYTES)
            return fail(err, HEARTH_ERR_FORMAT,
                        "%s replaces a text by %zu bytes, at most %d are allowed; the file is damaged", key, len,
                        CHARSMAP_MAX_BYTES);
        at += len + 1;
    }
    *c = (struct charsmap){ (const uint8_t *)blob.ptr + 4, (uint32_t)(n / 4), text };
    return true;
}

/* Where the children of a unit are, relative to it. */
static uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }

size_t charsmap_match(const struct charsmap *c, struct str text, struct str *out)
{
    if (c->n_units == 0)
        return 0;
    size_t best = 0;
    uint32_t node = offset_of(read_u32(c->units));
    for (size_t i = 0; i < text.len; i++) {
        uint32_t byte = (uint8_t)text.ptr[i];
        node ^= byte;
        if (node >= c->n_units)
            break;
        uint32_t unit = read_u32(c->units + 4 * (size_t)node);
        if ((unit & 0x800000ffu) != byte)
            break;
        node ^= offset_of(unit);
        if (!(unit >> 8 & 1))
            continue;
        if (node >= c->n_units)
            break;
        uint32_t value = read_u32(c->units + 4 * (size_t)node) & 0x7fffffffu;
        if (value >= c->replacements.len)
            break;
        *out = str_z(c->replacements.ptr + value); /* a 0 is behind it: charsmap_open() looked */
        best = i + 1;
    }
    return best;
}
