/* special.h: finding tokens that are written out in text ("<|im_end|>"). */
#pragma once
#include "base/arena.h"
#include "text/vocab.h"

struct special_set {
    int32_t *id; /* [n] in the order of their texts */
    struct str *text;
    uint32_t n;
    uint32_t first[257]; /* those starting with byte b: first[b] .. first[b + 1] - 1 */
};

/* The set of tokens whose type is in type_mask (1 << enum token_type). Memory from arena.
 * HEARTH_ERR_FORMAT for one of more than 256 bytes: looking for it would take that long at
 * every byte of a text made to look like it. */
bool special_build(struct special_set *s, const struct vocab *v, unsigned type_mask, struct arena *arena,
                   hearth_error *err);
/* Those of `from` that keep() says yes to; texts stay where `from` has them. */
bool special_subset(struct special_set *s, const struct special_set *from, bool (*keep)(void *arg, struct str text),
                    void *arg, struct arena *arena, hearth_error *err);
/* The longest of the set that text (not empty) starts with: its id, and *len; -1: none. */
int32_t special_at(const struct special_set *s, struct str text, size_t *len);
/* The leftmost place at or after *at where one of them stands, the longest of those there.
 * Returns its id and sets *at, *len; -1: none, and *at is the end of text. */
int32_t special_find(const struct special_set *s, struct str text, size_t *at, size_t *len);
