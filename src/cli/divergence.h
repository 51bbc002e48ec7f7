/* divergence.h: what two models say of the tokens of an answer, position by position.
 *
 * A position is a token with all that stands before it: the models do not choose there, they are asked what they would
 * have chosen from (teacher forcing). Where both read the same tokens their distributions are compared, over the whole
 * vocabulary and in double (kld.h); else each has its own text, and no position of one is a position of the other.
 *
 * Memory: DIVERGENCE_ROWS distributions, however long the answer is. A computes so many positions, then B the same
 * ones, and each of B's is compared as it comes. What precedes them is read once: the next request finds it in the
 * prefix cache, which changes no bit. Both models are open meanwhile, in one engine and under one budget, for a context
 * of these tokens and no more. */
#pragma once
#include "base/err.h"
#include "cli/kld.h"

enum { DIVERGENCE_ROWS = 64 };

/* One position under one model. Natural logs. */
struct scored {
    double logprob;          /* of the token that stands there */
    double likeliest_logprob;
    int32_t likeliest;
    uint64_t mix;            /* hearth_event.logits_mix */
};

struct divergence_side {
    hearth_source source;
    hearth_file *file;       /* the same, opened */
    hearth_kv_type kv_type;
    const int32_t *ids;      /* [n_ids] what is read; ids[from] is the first position */
    size_t n_ids, from;      /* from >= 1 */
    /* Found: */
    struct scored *scored;   /* [n_ids - from] */
    double probe_logprob[2]; /* of the probes at their position; NaN: there is none */
};

struct apart {
    struct kld_position k;   /* of B's distribution from A's, the reference: D(A||B) */
    bool same_logits;        /* bit for bit */
};

struct divergence {
    struct divergence_side side[2];
    bool one_model;          /* B's is A's, the type of keys and values as well: it computes once */
    bool same_ids;           /* both read the same tokens: distributions are compared */
    size_t probe_at;         /* a position, counted from 0, at which two tokens are asked for; SIZE_MAX: none */
    int32_t probe[2];        /* -1: none */
    /* Found: */
    struct apart *apart;     /* [n_ids - from] with same_ids; else NULL */
    int n_vocab;
};

/* HEARTH_ERR_USAGE when vocabularies have other sizes; HEARTH_ERR_MEMORY when both do not fit; Ctrl-C
 * (interrupt_hold()) is HEARTH_ERR_CANCELLED. Release with divergence_free(), also after a failure. */
bool divergence_run(struct divergence *d, int n_threads, hearth_error *err);
void divergence_free(struct divergence *d);
