#include "engine/figures.h"

#include <stdio.h>

#include "engine/lane.h"

const double hearth_time_bounds_s[HEARTH_N_TIMES - 1] = { 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2,
                                                          0.5,   1,     2,     5,    10,   20,   50,  100 };

int hearth_time_bucket(double s)
{
    int i = 0;
    while (i < HEARTH_N_TIMES - 1 && s > hearth_time_bounds_s[i])
        i++;
    return i;
}

/* There is one writer. */
static void add(atomic_ullong *to, unsigned long long n)
{
    atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + n, memory_order_relaxed);
}

static void put(atomic_int *to, int n) { atomic_store_explicit(to, n, memory_order_relaxed); }

void figures_gap(struct model_figures *f, int64_t ns)
{
    add(&f->gaps[hearth_time_bucket((double)ns / 1e9)], 1);
    add(&f->gaps_ns, (unsigned long long)ns);
}

static hearth_slot_state state_of(const struct seq *s, enum seq_state state)
{
    switch (state) {
    case SEQ_FREE: return HEARTH_SLOT_FREE;
    case SEQ_PREFILL: return HEARTH_SLOT_READING;
    case SEQ_DECODE: return HEARTH_SLOT_ANSWERING;
    case SEQ_PAUSED: break;
    }
    return s->preempted ? HEARTH_SLOT_PREEMPTED : HEARTH_SLOT_PAUSED;
}

static void show_slot(struct hearth_engine *e, struct slot_figures *f, const struct seq *s, enum seq_state state)
{
    put(&f->state, (int)state_of(s, state));
    if (state == SEQ_FREE)
        return;
    if (f->order != s->order) {
        lock_take(&e->lock);
        snprintf(f->request_id, sizeof f->request_id, "%s", s->stream->receipt.request_id);
        lock_release(&e->lock);
        f->order = s->order;
    }
    put(&f->n_prompt, s->n_prompt);
    put(&f->n_done, s->n_done);
    put(&f->n_output, s->n_output);
    atomic_store_explicit(&f->n_pages, s->kv.n_pages, memory_order_relaxed);
}

void figures_pages(struct hearth_model *m)
{
    struct model_figures *f = &m->figures;
    const struct kv_pool *pool = &m->kv;
    atomic_store_explicit(&f->n_used_pages, pool->n_pages - kv_available(pool), memory_order_relaxed);
    atomic_store_explicit(&f->n_kept_pages, pool->tree.n_idle, memory_order_relaxed);
    atomic_store_explicit(&f->n_touched_pages, pool->n_touched, memory_order_relaxed);
    atomic_store_explicit(&f->n_touched_states, pool->states.n_touched, memory_order_relaxed);
}

void figures_show(struct lane *l, const struct sched_seq *seqs)
{
    struct model_figures *f = &l->model->figures;
    bool any = false;
    for (int i = 0; i < l->e->n_seqs; i++) {
        show_slot(l->e, &f->slot[i], &l->seqs[i], seqs[i].state);
        any = any || seqs[i].state == SEQ_PREFILL || seqs[i].state == SEQ_DECODE;
    }
    figures_pages(l->model);
    if (!any)
        return;
    add(&f->n_steps, 1);
    atomic_store_explicit(&f->step_ns, clock_ns(), memory_order_relaxed);
}

void hearth_model_look(hearth_model *m, hearth_model_now *out)
{
    struct model_figures *f = &m->figures;
    int64_t step_ns = atomic_load(&f->step_ns);
    *out = (hearth_model_now){ .n_pages = m->kv.n_pages,
                               .page_tokens = KV_PAGE_TOKENS,
                               .n_used_pages = atomic_load(&f->n_used_pages),
                               .n_kept_pages = atomic_load(&f->n_kept_pages),
                               .n_touched_pages = atomic_load(&f->n_touched_pages),
                               .page_bytes = m->kv.page_bytes,
                               .state_touched_bytes = atomic_load(&f->n_touched_states) * m->kv.states.slot_bytes,
                               .n_steps = atomic_load(&f->n_steps),
                               .since_step_ms = step_ns ? clock_ms_since(step_ns) : -1,
                               .gaps_s = (double)atomic_load(&f->gaps_ns) / 1e9,
                               .asleep = atomic_load(&m->asleep),
                               .pinned = m->pinned,
                               .keep_awake_ms = m->pinned ? 0 : (double)m->keep_awake_ns / 1e6,
                               .takes_turns = m->engine->take_turns && !m->pinned,
                               .why_asleep = (hearth_sleep)atomic_load(&m->why_asleep),
                               .n_wakes = atomic_load(&m->n_wakes),
                               .n_sleeps = atomic_load(&m->n_sleeps),
                               .awake_bytes = m->awake_bytes };
    for (int i = 0; i < HEARTH_N_TIMES; i++)
        out->gaps[i] = atomic_load(&f->gaps[i]);
}

int hearth_model_slots(hearth_model *m, hearth_slot *slots, int cap)
{
    lock_take(&m->engine->lock);
    for (int i = 0; i < min_int(cap, m->engine->n_seqs); i++) {
        struct slot_figures *f = &m->figures.slot[i];
        slots[i] = (hearth_slot){ .state = (hearth_slot_state)atomic_load(&f->state) };
        if (slots[i].state == HEARTH_SLOT_FREE)
            continue;
        snprintf(slots[i].request_id, sizeof slots[i].request_id, "%s", f->request_id);
        slots[i].n_prompt_tokens = atomic_load(&f->n_prompt);
        slots[i].n_done_tokens = atomic_load(&f->n_done);
        slots[i].n_output_tokens = atomic_load(&f->n_output);
        slots[i].n_pages = atomic_load(&f->n_pages);
    }
    lock_release(&m->engine->lock);
    return m->engine->n_seqs;
}
