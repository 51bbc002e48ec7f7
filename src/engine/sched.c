#include "engine/sched.h"

static void add(struct plan *p, int seq, int first, int n, bool last)
{
    p->slice[p->n_slices++] = (struct slice){ seq, first, n, last };
    p->n_tokens += n;
}

/* The prompt that came first among those not in the plan yet; -1: none. */
static int oldest_prompt(const struct sched_seq *seqs, int n_seqs, const bool *taken)
{
    int best = -1;
    for (int i = 0; i < n_seqs; i++)
        if (seqs[i].state == SEQ_PREFILL && !taken[i] && (best < 0 || seqs[i].order < seqs[best].order))
            best = i;
    return best;
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

void sched_plan(struct plan *p, const struct sched_seq *seqs, int n_seqs, int max_tokens, int max_columns)
{
    bool taken[SCHED_MAX_SEQS] = { false };
    p->n_slices = p->n_tokens = 0;
    for (int i = 0; i < n_seqs && p->n_tokens < max_tokens; i++)
        if (seqs[i].state == SEQ_DECODE)
            add(p, i, seqs[i].n_done, 1, true);

    while (p->n_tokens < max_tokens) {
        int i = oldest_prompt(seqs, n_seqs, taken);
        if (i < 0)
            break;
        taken[i] = true;
        int left = seqs[i].n_prompt - seqs[i].n_done;
        int n = min_int(left, max_tokens - p->n_tokens);
        if (seqs[i].n_chunk > 0)
            n = min_int(n, seqs[i].n_chunk);
        add(p, i, seqs[i].n_done, n, n == left);
    }
    while (add_drafts(p, seqs, max_columns))
        ;
}
