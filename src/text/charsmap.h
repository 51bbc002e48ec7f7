/* charsmap.h: SentencePiece's precompiled normalization: the longest text that begins here and what replaces it.
 *
 * Bytes: u32 n, n bytes of a double array (darts-clone: u32 units, label and offset packed), then the replacements,
 * each ended by 0; a leaf's value is where its replacement begins. Everything little-endian and not trusted: every
 * step is checked against the sizes. Source: sentencepiece's normalizer.cc and darts.h, as formats. */
#pragma once
#include "base/err.h"

struct charsmap {
    const uint8_t *units; /* 4 bytes each, not aligned; n_units 0: no normalization */
    uint32_t n_units;
    struct str replacements;
};

/* Points into blob; an empty one is no normalization. HEARTH_ERR_FORMAT for a damaged one. */
bool charsmap_open(struct charsmap *c, struct str blob, hearth_error *err);
/* Bytes of text (not empty) that *out replaces, 0: none. *out has at most CHARSMAP_MAX_BYTES. */
size_t charsmap_match(const struct charsmap *c, struct str text, struct str *out);

enum { CHARSMAP_MAX_BYTES = 64 }; /* NFKC's longest has 33 */
