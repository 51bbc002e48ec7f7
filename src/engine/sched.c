#include "engine/sched.h"

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

static void add_prompts(struct plan *p, const struct sched_seq *seqs, int n_seqs, int room)
{
    bool taken[SCHED_MAX_SEQS] = { false };
    int oldest = next_prompt(seqs, n_seqs, taken, true), i;
    if (oldest < 0 || room <= 0)
        return;
    taken[oldest] = true;
    int most = wants(&seqs[oldest]), share = most <= room ? most : (room + 3) / 4, at = p->n_slices;
    add(p, oldest, seqs[oldest].n_done, share, false);
    room -= share;
    while (room > 0 && (i = next_prompt(seqs, n_seqs, taken, false)) >= 0) {
        int n = min_int(wants(&seqs[i]), room);
        taken[i] = true;
        add(p, i, seqs[i].n_done, n, n == seqs[i].n_prompt - seqs[i].n_done);
        room -= n;
    }
    int more = min_int(room, most - share); /* what the others left */
    p->slice[at].n += more;
    p->slice[at].last = p->slice[at].n == seqs[oldest].n_prompt - seqs[oldest].n_done;
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

void sched_plan(struct plan *p, const struct sched_seq *seqs, int n_seqs, int max_tokens, int max_prompt_tokens,
                int max_columns)
{
    p->n_slices = p->n_tokens = 0;
    for (int i = 0; i < n_seqs && p->n_tokens < max_tokens; i++)
        if (seqs[i].state == SEQ_DECODE)
            add(p, i, seqs[i].n_done, 1, true);
    add_prompts(p, seqs, n_seqs, min_int(max_tokens - p->n_tokens, max_prompt_tokens));
    while (add_drafts(p, seqs, max_columns))
        ;
}
