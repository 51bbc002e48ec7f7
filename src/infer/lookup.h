/* lookup.h: tokens that may come next, looked up in what the sequence already holds.
 *
 * Answers repeat their prompts: names, quotations, code that is edited. Where the last tokens of a sequence stood
 * before, what followed them then is a draft of what follows now; the engine computes a draft's tokens together with
 * the last token and keeps those that are what it would have chosen anyway (prompt lookup decoding: Saxena 2023;
 * draft and verify: Leviathan, Kalman, Matias 2023, here with equality instead of their acceptance rule, so that
 * nothing changes but the time).
 *
 * The index is a chain per hash of two tokens, the latest place first. Of the first places of a chain the one with the
 * longest match is taken, the latest of equals. How long a draft may be follows from how often drafts after matches of
 * that length were right in this sequence, and from what a step of more columns costs (a table, measured by
 * bench_speculation): the length that gives most tokens for the time. Where that is 0 none is drafted, but for a single
 * token now and then to see whether it has changed. Counts alone decide, no clock: the same sequence in the same
 * company drafts the same. */
#pragma once
#include "base/base.h"

enum {
    LOOKUP_MOST = 16,       /* tokens in a draft */
    LOOKUP_MATCH_LEAST = 2, /* tokens that must have stood there before: those the index is made of */
    LOOKUP_MATCH_MOST = 32, /* longer ones count as this */
    LOOKUP_CLASSES = 6,     /* of match lengths: from 2, 3, 4, 8, 16, 32 on */
};

/* Where a step's weights come from, which decides what a column more costs. */
enum lookup_cost { LOOKUP_FROM_CACHE, LOOKUP_FROM_MEMORY };
enum { LOOKUP_CACHE_BYTES = 64 << 20 }; /* more than this does not stay in a cache between two steps */

struct lookup {
    int32_t *last;   /* [n_last] by hash: the place after the latest such pair; 0: none */
    int32_t *before; /* [n_ctx] by place: the place after the pair before it in the chain; 0: none */
    int n_last;      /* a power of two */
    int n_indexed;   /* pairs that end before this place are in */
    int fixed;       /* draft so many tokens wherever there is a match; 0: as many as pay */
    enum lookup_cost cost;
    int class;       /* of the draft under way */
    int chance[LOOKUP_CLASSES]; /* that the next token of a draft is right, in 1/4096 */
    int n_seen[LOOKUP_CLASSES]; /* tokens that were right or wrong, up to what matters */
    int n_idle[LOOKUP_CLASSES]; /* places that were not drafted from since the last draft */
};

/* Memory for sequences of up to n_ctx tokens. */
size_t lookup_bytes(int n_ctx);
/* memory: lookup_bytes(), aligned for int32_t. */
void lookup_layout(struct lookup *l, void *memory, int n_ctx);

/* Forget everything: another sequence begins. fixed: 0, or the length of every draft, up to LOOKUP_MOST. */
void lookup_begin(struct lookup *l, int fixed, enum lookup_cost cost);

/* What may follow history[0..n), n <= n_ctx: up to `most` tokens into history[n..]. Returns how many. history must
 * hold what it held at the calls before, and more. n_columns: of the step without this draft, at least 1. */
int lookup_draft(struct lookup *l, int32_t *history, int n, int most, int n_columns);

/* Of the last draft the first n_right tokens were right; wrong: and the one behind them was not. */
void lookup_learn(struct lookup *l, int n_right, bool wrong);
