/* prefix.h: which tokens begin here? A sorted list of texts, walked a byte at a time. Immutable once built. */
#pragma once
#include "base/arena.h"
#include "text/vocab.h"

struct prefix_item {
    struct str text;
    int32_t id;
};

struct prefix_set {
    struct prefix_item *item; /* [n] in the order of their bytes */
    uint32_t n;
    uint32_t first[257]; /* those starting with byte b: first[b] .. first[b + 1] - 1 */
};

/* Those that can still match after depth bytes. */
struct prefix_walk {
    uint32_t low, high;
    uint32_t depth;
};

/* The tokens whose type is in type_mask (1 << enum token_type); of equal texts the first that is ordinary. */
bool prefix_build(struct prefix_set *s, const struct vocab *v, unsigned type_mask, struct arena *arena,
                  hearth_error *err);
/* Zero the walk before the first byte. The token that ends with this byte, -1: none. Time is the
 * logarithm of how many still match. */
int32_t prefix_step(const struct prefix_set *s, struct prefix_walk *w, uint8_t byte);
static inline bool prefix_over(const struct prefix_walk *w) { return w->low >= w->high; }
