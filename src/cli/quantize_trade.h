/* quantize_trade.h: which of several quantizations of one model to take: size against divergence. Pure.
 *
 * The knee is where saving more begins to cost more than it did: of the points that no other beats in both size and
 * divergence, the one that lies deepest below the chord from the smallest to the largest, in a plane of size and the
 * logarithm of the divergence whose axes are both drawn from 0 to 1. That point is always on the lower convex hull.
 * It is the definition of Satopaa, Albrecht, Irwin and Raghavan, "Finding a 'Kneedle' in a Haystack: Detecting Knee
 * Points in System Behavior" (2011), for a whole curve at once. The logarithm, because a divergence falls by about the
 * same factor with each bit: on a straight scale the worst candidate alone would decide. */
#pragma once
#include <stdio.h>

#include "base/base.h"

enum { TRADE_MOST = 24, TRADE_SENTENCE_BYTES = 512 };
/* Nats. Less comes of rounding, not of a choice of format, and zero has no logarithm. */
#define TRADE_LEAST_KLD 1e-6
/* Share of an axis. A curve that bends less has no knee: noise of the divergence alone would place it. */
#define TRADE_LEAST_BEND 0.02

struct trade_point {
    const char *name;
    uint64_t bytes;
    double kld;        /* nats, mean */
    double same_top;   /* share of positions with the same likeliest token */
    double decode_times; /* as fast as the model it was made of; 0: not known */
    bool smaller;      /* than the model it was made of: else it is no candidate */
};

enum trade_kind {
    TRADE_NONE,     /* nothing is smaller */
    TRADE_ONE,      /* one that none of the others beats */
    TRADE_STRAIGHT, /* two of them, or no bend */
    TRADE_KNEE,
};

struct trade {
    enum trade_kind kind;
    int front[TRADE_MOST], n_front; /* indices of the points that none beats, by size */
    int take;                       /* index; -1: none. Without a knee: the nearest to the model */
    int smaller, larger;            /* its neighbours on the front; -1: none */
    double bend;                    /* how deep below the chord, 0 to 1 */
};
/* n <= TRADE_MOST. Of points that are the same in both the first one counts. */
void trade_find(struct trade *t, const struct trade_point *p, int n);

/* Which to take, and why; what the neighbours on the front save or cost. bytes: of the model they were made of. */
const char *trade_advice(char out[TRADE_SENTENCE_BYTES], const struct trade *t, const struct trade_point *p,
                         uint64_t bytes);
/* "" where there is none. step: -1 the next smaller, 1 the next larger. */
const char *trade_neighbour(char out[TRADE_SENTENCE_BYTES], const struct trade *t, const struct trade_point *p,
                            int step);

/* Divergence upwards (logarithmic) against size; nothing of fewer than two points. width: columns. */
void trade_picture(FILE *out, const struct trade *t, const struct trade_point *p, int n, int width);
