/* sched.h: which tokens go into the next step. Pure: looks at the sequences, writes a plan. */
#pragma once
#include "base/base.h"

enum { SCHED_MAX_SEQS = 64 };

enum seq_state {
    SEQ_FREE,    /* no request in this slot */
    SEQ_PREFILL, /* prompt tokens left to run */
    SEQ_DECODE,  /* one token a step, and its draft */
    SEQ_PAUSED,  /* it waits: for its reader, for pages, or for what another computes */
};

/* What scheduling needs to know of a sequence. */
struct sched_seq {
    enum seq_state state;
    int n_prompt, n_done; /* prompt tokens, positions already in the cache */
    int n_chunk;          /* most prompt tokens of it in one step; 0: no limit of its own */
    uint64_t order;       /* of arrival */
    int n_draft;          /* decoding: tokens that may come next, to be computed with the last one */
};

struct slice {
    int seq, first, n;
    bool last; /* after it the sequence has logits to sample from */
};

struct plan {
    struct slice slice[SCHED_MAX_SEQS];
    int n_slices, n_tokens;
};

/* What a step has room for. */
struct sched_room {
    int max_tokens;     /* at least n_seqs */
    int max_columns;    /* with drafts; at least max_tokens */
    double prompt_cost; /* of the tokens of prompts, as pace.h counts */
    double attended;    /* as there */
    bool whole;         /* a prompt goes into one step, as a whole: each of them has at most max_tokens */
};

/* Decoding sequences come first, because somebody is watching each of them. What room is left, of tokens and of their
 * cost, goes to prompts in chunks: the oldest is done with, or has a quarter of it, and the rest goes to those with the
 * fewest tokens left, so that a short prompt does not wait for a long one to be read, and the long one is read: with a
 * token at least, where there is room for one. Drafts come last, a token for each sequence in turn. */
void sched_plan(struct plan *p, const struct sched_seq *seqs, int n_seqs, const struct sched_room *room);
