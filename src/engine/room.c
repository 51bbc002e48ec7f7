/* room.c: which sequences have pages, and who gives some back: lane.h. */
#include "engine/lane.h"

static bool is_paused(struct seq *s) { return s->stream && !stream_has_room(s->stream); }

/* What ended in a step keeps its slot until the engine has let go of its stream. */
static bool is_free(const struct seq *s) { return !s->stream && !s->finished; }

static int count_free(const struct lane *l)
{
    int n = 0;
    for (int i = 0; i < l->e->n_seqs; i++)
        n += is_free(&l->seqs[i]);
    return n;
}

/* ---- how much room there is ---- */

/* Pages that it will take to where it samples next, and one token more. */
static uint32_t pages_wanted(const struct seq *s)
{
    return kv_pages_for(min_int(max_int(s->n_prefill, s->n_total) + 1, s->stream->model->plan.n_ctx_tokens));
}

/* Pages that are there and promised to nobody; one for each sequence that runs is kept back for its next ones. */
static int64_t spare_pages(const struct lane *l)
{
    int64_t n = kv_available(&l->model->kv);
    for (int i = 0; i < l->e->n_seqs; i++) {
        const struct seq *s = &l->seqs[i];
        if (s->stream && !s->preempted && pages_wanted(s) > s->kv.n_pages)
            n -= pages_wanted(s) - s->kv.n_pages;
        n -= s->stream && !s->preempted;
    }
    return n;
}

static bool nobody_runs(const struct lane *l)
{
    for (int i = 0; i < l->e->n_seqs; i++)
        if (l->seqs[i].stream && !l->seqs[i].preempted)
            return false;
    return true;
}

/* Pages of n tokens that are not among those that somebody runs on. */
static uint32_t pages_to_find(const struct lane *l, const hearth_request *r, const int32_t *tokens, int n)
{
    uint32_t n_full = 0, n_idle = 0, need = kv_pages_for(min_int(n + 1, l->model->plan.n_ctx_tokens));
    if (!r->no_prefix_cache)
        kv_look(&l->model->kv, r->cache_salt, tokens, n - 1, &n_full, &n_idle);
    return need - (n_full - n_idle);
}

/* ---- who gives pages back ---- */

/* The youngest that has pages or is `asks`; NULL: none. paused: of those whose reader is slow. */
static struct seq *youngest(struct lane *l, const struct seq *asks, bool paused)
{
    struct seq *best = NULL;
    for (int i = 0; i < l->e->n_seqs; i++) {
        struct seq *s = &l->seqs[i];
        if (!s->stream || s->preempted || s->loading || (s->kv.n_pages == 0 && s != asks) || (paused && !is_paused(s)))
            continue;
        if (!best || s->order > best->order)
            best = s;
    }
    return best;
}

static bool make_room(struct lane *l)
{
    struct seq *s = youngest(l, NULL, true);
    if (s)
        seq_preempt(s);
    return s != NULL;
}

/* There is room for so many pages more, or can be made by those whose readers are slow. */
static bool has_room(struct lane *l, uint32_t n_pages)
{
    while (spare_pages(l) < n_pages && !nobody_runs(l))
        if (!make_room(l))
            return false;
    return true;
}

/* ---- who begins ---- */

static struct seq *oldest_preempted(struct lane *l)
{
    struct seq *best = NULL;
    for (int i = 0; i < l->e->n_seqs; i++) {
        struct seq *s = &l->seqs[i];
        if (s->stream && s->preempted && !is_paused(s) && (!best || s->order < best->order))
            best = s;
    }
    return best;
}

static bool resume(struct lane *l)
{
    struct seq *s;
    while ((s = oldest_preempted(l))) {
        if (!has_room(l, pages_to_find(l, &s->stream->request, s->history, s->n_prefill)))
            return false;
        seq_resume(s);
    }
    return true;
}

/* The request that is next, looked at before it is taken: what follows it waits for it. */
static struct hearth_stream *look_next(struct lane *l)
{
    lock_take(&l->e->lock);
    if (!l->next)
        l->next = queue_pop(&l->e->inbox, &l->e->inbox_turns, l->model);
    struct hearth_stream *s = l->next;
    if (s && atomic_load(&s->cancelled))
        s = NULL; /* the engine ends it */
    lock_release(&l->e->lock);
    return s;
}

static struct hearth_stream *take_next(struct lane *l)
{
    lock_take(&l->e->lock);
    struct hearth_stream *s = l->next;
    l->next = NULL;
    engine_begins(l->e, s);
    lock_release(&l->e->lock);
    return s;
}

static struct seq *free_slot(struct lane *l)
{
    int i = 0;
    while (!is_free(&l->seqs[i]))
        i++;
    return &l->seqs[i];
}

/* Who reads a prompt that begins the same as this one's, further than what was found of it: waited for. */
static void follow(struct lane *l, struct seq *s)
{
    for (int i = 0; i < l->e->n_seqs; i++) {
        struct seq *other = &l->seqs[i];
        if (other == s || !other->stream || other->preempted || other->n_done >= other->n_prefill
            || other->kv.salt != s->kv.salt || s->stream->request.no_prefix_cache)
            continue;
        int n = 0, most = min_int(other->n_prefill, seq_most_cached(s));
        while (n < most && other->history[n] == s->history[n])
            n++;
        n = n / KV_PAGE_TOKENS * KV_PAGE_TOKENS;
        if (n > s->n_done && n > s->n_followed && seq_will_save(other, n)) {
            s->n_followed = n;
            s->leader = i;
            s->leader_order = other->order;
        }
    }
}

/* It waited for its model, too. */
static void note_wake(const struct lane *l, const struct seq *s)
{
    if (l->woke_ns > s->stream->prepared_ns)
        s->stream->receipt.wake_ms = (double)(l->woke_ns - s->stream->prepared_ns) / 1e6;
}

void lane_admit(struct lane *l)
{
    if (!resume(l))
        return;
    for (int n = count_free(l); n > 0; n--) {
        struct hearth_stream *next = look_next(l);
        if (!next || l->held || !has_room(l, pages_to_find(l, &next->request, next->prompt.ids, (int)next->prompt.n)))
            return;
        struct seq *s = free_slot(l);
        seq_begin(s, take_next(l), ++l->n_begun);
        note_wake(l, s);
        follow(l, s);
    }
}

/* ---- pages for a step ---- */

/* Pages of younger ones that are being filled from disk come back when that has ended: soon, if it is told to. */
static bool waits_for_load(struct lane *l, const struct seq *s)
{
    bool waits = false;
    for (int i = 0; i < l->e->n_seqs; i++) {
        struct seq *other = &l->seqs[i];
        if (!other->loading || other->order < s->order)
            continue;
        disk_load_stop(&other->load);
        waits = true;
    }
    return waits;
}

/* False: it had to give back its own. */
static bool reserve(struct lane *l, struct seq *s, struct slice *slice)
{
    while (!kv_seq_reserve(&l->model->kv, &s->kv, slice->first + slice->n)) {
        if (slice->first >= s->n_prefill && slice->n > 1) {
            slice->n = 1; /* without its draft */
            continue;
        }
        struct seq *gives = youngest(l, NULL, true);
        if (!gives)
            gives = youngest(l, s, false);
        if (gives == s && waits_for_load(l, s)) {
            slice->n = 0;
            return false;
        }
        seq_preempt(gives);
        if (gives == s)
            return false;
    }
    return true;
}

void lane_reserve(struct lane *l, struct plan *plan)
{
    int by_age[SCHED_MAX_SEQS], n_kept = 0;
    for (int i = 0; i < plan->n_slices; i++) {
        int at = i;
        for (; at > 0 && l->seqs[plan->slice[by_age[at - 1]].seq].order > l->seqs[plan->slice[i].seq].order; at--)
            by_age[at] = by_age[at - 1];
        by_age[at] = i;
    }
    for (int i = 0; i < plan->n_slices; i++) {
        struct slice *slice = &plan->slice[by_age[i]];
        struct seq *s = &l->seqs[slice->seq];
        if (!s->preempted)
            reserve(l, s, slice);
    }
    plan->n_tokens = 0;
    for (int i = 0; i < plan->n_slices; i++)
        if (!l->seqs[plan->slice[i].seq].preempted && plan->slice[i].n > 0) {
            plan->n_tokens += plan->slice[i].n;
            plan->slice[n_kept++] = plan->slice[i];
        }
    plan->n_slices = n_kept;
}
