/* lane.c: models come and go. */
#include "engine/lane.h"

#include "base/alloc.h"
#include "base/clock.h"

static void lane_free(struct lane *l)
{
    if (!l)
        return;
    for (int i = 0; l->seqs && i < l->e->n_seqs; i++) {
        struct seq *s = &l->seqs[i];
        kv_seq_destroy(&l->model->kv, &s->kv);
        mem_free(s->history);
        mem_free(s->lookup.last);
        mem_free(s->held);
        mem_free(s->thinking);
    }
    mem_free(l->seqs);
    mem_free(l->batch_tokens);
    mem_free(l->slices);
    mem_free(l);
}

static struct lane *lane_make(struct hearth_engine *e, struct hearth_model *m)
{
    size_t n_ctx = (size_t)m->plan.n_ctx_tokens;
    struct lane *l = mem_alloc(sizeof *l);
    if (!l)
        return NULL;
    const struct model *model = &m->file->model;
    l->e = e;
    l->model = m;
    if (model->layer_macs)
        l->pace.attended = (double)model_attention_macs(&model->hp) * PACE_ATTENTION_MACS / (double)model->layer_macs;
    l->seqs = mem_alloc(sizeof *l->seqs * (size_t)e->n_seqs);
    l->batch_tokens = mem_alloc(sizeof *l->batch_tokens * (size_t)m->ws.max_tokens);
    l->slices = mem_alloc(sizeof *l->slices * (size_t)e->n_seqs);
    bool ok = l->seqs && l->batch_tokens && l->slices;
    for (int i = 0; ok && i < e->n_seqs; i++) {
        struct seq *s = &l->seqs[i];
        s->history = mem_alloc(n_ctx * sizeof *s->history);
        s->held = mem_alloc(STREAM_TEXT_MAX_BYTES);
        s->thinking = mem_alloc(STREAM_TEXT_MAX_BYTES);
        void *index = mem_alloc(lookup_bytes((int)n_ctx));
        if (index)
            lookup_layout(&s->lookup, index, (int)n_ctx);
        ok = s->history && s->held && s->thinking && index
             && kv_seq_create(&s->kv, kv_pages_for(m->plan.n_ctx_tokens), NULL);
    }
    if (ok)
        return l;
    lane_free(l);
    return NULL;
}

void engine_plan_begin(struct hearth_engine *e)
{
    lock_take(&e->lock);
    while (e->planning)
        lock_wait(&e->lock);
    e->planning = true;
    lock_release(&e->lock);
}

void engine_plan_end(struct hearth_engine *e)
{
    lock_take(&e->lock);
    e->planning = false;
    lock_wake_all(&e->lock);
    lock_release(&e->lock);
}

/* What it is held against, and what there is of it while it sleeps. Without what all models of the engine have in
 * common. */
static void count(struct lane *l)
{
    const hearth_plan *p = &l->model->plan;
    uint64_t own = p->total_bytes - p->weights_bytes - p->request_bytes - p->program_bytes;
    bool turns = l->e->take_turns;
    bool rests = turns && !l->model->pinned;
    l->own_bytes = rests ? p->asleep_bytes : own;
    l->weights_bytes = rests ? 0 : p->weights_bytes;
    l->awake_bytes = own - p->asleep_bytes + (turns ? p->weights_bytes : 0);
    if (rests) /* one that is larger than the room has it for itself: its weights come from disk again and again */
        l->awake_bytes = min_size(l->awake_bytes, l->e->turn_room_bytes);
    l->used_ns = l->woke_ns = clock_ns();
    atomic_store(&l->model->asleep, rests);
    atomic_store(&l->model->why_asleep, (int)(rests ? HEARTH_SLEEP_START : HEARTH_SLEEP_NOT));
    l->model->awake_bytes = l->awake_bytes;
}

bool engine_attach(struct hearth_engine *e, struct hearth_model *m, hearth_error *err)
{
    struct lane *l = lane_make(e, m);
    if (!l)
        return fail_memory(err, "the sequences");
    count(l);
    lock_take(&e->lock);
    bool full = e->n_lanes == ENGINE_MAX_MODELS;
    if (!full) {
        if (e->n_lanes == 0)
            e->planned_budget_bytes = m->plan.machine_budget_bytes;
        e->lanes[e->n_lanes++] = l;
        e->own_bytes += l->own_bytes;
        e->weights_bytes += l->weights_bytes;
        lock_wake_all(&e->lock);
    }
    lock_release(&e->lock);
    if (!full)
        return true;
    lane_free(l);
    return fail(err, HEARTH_ERR_USAGE, "this engine holds %d models, the most there may be; release one first",
                ENGINE_MAX_MODELS);
}

void engine_detach(struct hearth_engine *e, struct hearth_model *m)
{
    struct lane *l = NULL;
    lock_take(&e->lock);
    e->n_leaving++;
    e->pokes++; /* whoever measures in idle time ends that */
    while (e->stepping)
        lock_wait(&e->lock);
    e->n_leaving--;
    for (int i = 0; i < e->n_lanes; i++)
        if (!l && e->lanes[i]->model == m)
            l = e->lanes[i];
        else if (l)
            e->lanes[i - 1] = e->lanes[i];
    if (l) {
        e->n_lanes--;
        e->own_bytes -= l->own_bytes;
        e->weights_bytes -= l->weights_bytes;
    }
    lock_wake_all(&e->lock);
    lock_release(&e->lock);
    lane_free(l);
}
