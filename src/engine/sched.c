#include "engine/sched.h"

#include "engine/pace.h"

static void add(struct plan *p, int seq, int first, int n, bool last)
{
    p->slice[p->n_slices++] = (struct slice){ seq, first, n, last };
    p->n_tokens += n;
}

/* Tokens that it may have in this step, as far as it is concerned. */
static int wants(const struct sched_seq *s)
{
    int left = s->n_prompt - s->n_done;
    return s->n_chunk > 0 ? min_int(left, s->n_chunk) : left;
}

static bool is_before(const struct sched_seq *a, const struct sched_seq *b, bool by_age)
{
    int left_a = a->n_prompt - a->n_done, left_b = b->n_prompt - b->n_done;
    return by_age || left_a == left_b ? a->order < b->order : left_a < left_b;
}

/* Of the prompts that are not in the plan yet the oldest, or the one with the fewest tokens left; -1: none. */
static int next_prompt(const struct sched_seq *seqs, int n_seqs, const bool *taken, bool by_age)
{
    int best = -1;
    for (int i = 0; i < n_seqs; i++)
        if (seqs[i].state == SEQ_PREFILL && !taken[i] && (best < 0 || is_before(&seqs[i], &seqs[best], by_age)))
            best = i;
    return best;
}

/* Room for prompts that is left. */
struct left {
    int tokens;
    double cost, attended;
    bool whole;
};

/* As many of the n tokens that come next as there is room for; all or none where prompts are not divided. */
static int fits(const struct left *left, int n_before, int n)
{
    int most = min_int(min_int(n, left->tokens), pace_fit(left->attended, n_before, left->cost));
    return left->whole && most < n ? 0 : most;
}

/* A quarter of it, rounded up: at least a token. */
static int quarter(const struct left *left, int n_before, int n)
{
    struct left part = { (left->tokens + 3) / 4, left->cost / 4, left->attended, false };
    int tokens = fits(&part, n_before, n);
    bool more = pace_cost(part.attended, n_before, tokens) < part.cost;
    return min_int(tokens + more, min_int(n, part.tokens));
}

static void take(struct left *left, int n_before, int n)
{
    left->tokens -= n;
    left->cost -= pace_cost(left->attended, n_before, n);
}

static void add_prompts(struct plan *p, const struct sched_seq *seqs, int n_seqs, struct left left)
{
    bool taken[SCHED_MAX_SEQS] = { false };
    int oldest = next_prompt(seqs, n_seqs, taken, true), i;
    if (oldest < 0 || left.tokens <= 0)
        return;
    taken[oldest] = true;
    const struct sched_seq *first = &seqs[oldest];
    int most = wants(first), n_before = first->n_done, at = p->n_slices;
    bool all = left.whole || fits(&left, n_before, most) == most;
    int share = all ? most : quarter(&left, n_before, most);
    add(p, oldest, n_before, share, false);
    take(&left, n_before, share);
    while ((i = next_prompt(seqs, n_seqs, taken, false)) >= 0) {
        int n = fits(&left, seqs[i].n_done, wants(&seqs[i]));
        if (n <= 0)
            break;
        taken[i] = true;
        add(p, i, seqs[i].n_done, n, n == seqs[i].n_prompt - seqs[i].n_done);
        take(&left, seqs[i].n_done, n);
    }
    int more = fits(&left, n_before + share, most - share); /* what the others left */
    p->slice[at].n += more;
    p->slice[at].last = p->slice[at].n == first->n_prompt - n_before;
    p->n_tokens += more;
}

/* One round: a token more for every decoding slice that has some of its draft left. False: nobody took one. */
static bool add_drafts(struct plan *p, const struct sched_seq *seqs, int max_columns)
{
    bool added = false;
    for (int i = 0; i < p->n_slices; i++) {
        struct slice *slice = &p->slice[i];
        const struct sched_seq *s = &seqs[slice->seq];
        if (s->state != SEQ_DECODE || slice->n > s->n_draft || p->n_tokens >= max_columns)
            continue;
        slice->n++;
        p->n_tokens++;
        added = true;
    }
    return added;
}

void sched_plan(struct plan *p, const struct sched_seq *seqs, int n_seqs, const struct sched_room *room)
{
    p->n_slices = p->n_tokens = 0;
    for (int i = 0; i < n_seqs && p->n_tokens < room->max_tokens; i++)
        if (seqs[i].state == SEQ_DECODE)
            add(p, i, seqs[i].n_done, 1, true);
    add_prompts(p, seqs, n_seqs, (struct left){ room->max_tokens - p->n_tokens, room->prompt_cost, room->attended,
                                                room->whole });
    while (add_drafts(p, seqs, room->max_columns))
        ;
}
