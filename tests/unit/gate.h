/* gate.h: tests that need an engine to stand still while they ask it for things, so that what is asked arrives when it
 * should on a machine of any speed. */
#pragma once
#include <stdatomic.h>
#include <time.h>

#include "requests.h"

static inline void a_moment(void)
{
    const struct timespec t = { .tv_nsec = 2000000 };
    nanosleep(&t, NULL);
}

/* Until so many requests are tokens and wait for a place. */
static inline void until_waiting(const struct opened *o, int n)
{
    hearth_engine_queue q;
    for (hearth_engine_look(o->engine, &q); q.n_raw > 0 || q.n_waiting != n; hearth_engine_look(o->engine, &q))
        a_moment();
}

/* Stands at one event after another of a stream: a step goes on when it is told the next one. The stream's callback,
 * so it must be in place before the first event: behind a gate. */
struct hold {
    hearth_stream *stream;
    atomic_int n, at; /* events until now; the one to stand at, 0: none */
};

static inline void hold_engine(void *arg)
{
    struct hold *h = arg;
    int n = atomic_fetch_add(&h->n, 1) + 1;
    while (n == atomic_load(&h->at))
        a_moment();
}

/* The engine goes on, and stands at event `at` when this returns. */
static inline void hold_at(struct hold *h, int at)
{
    hearth_receipt r;
    atomic_store(&h->at, at);
    while (atomic_load(&h->n) < at)
        if (hearth_stream_receipt(h->stream, &r))
            fail_msg("it ended after %d events", atomic_load(&h->n));
        else
            a_moment();
}

static inline void hold_no_more(struct hold *h) { atomic_store(&h->at, 0); }

/* A request that stands in its only step until it is opened; it takes one slot and one page for so long. */
struct gate {
    hearth_stream *stream;
    atomic_bool reached, open;
    int32_t ids[2];
};

static inline void stand(void *arg, size_t index, const float *logits, int n_vocab)
{
    struct gate *g = arg;
    (void)index, (void)logits, (void)n_vocab;
    atomic_store(&g->reached, true);
    while (!atomic_load(&g->open))
        a_moment();
}

/* The engine stands still when this returns. */
static inline void gate_shut(const struct opened *o, struct gate *g)
{
    *g = (struct gate){ .ids = { 5, 6 } }; /* every vocabulary has them */
    hearth_request r = { .prompt_ids = g->ids, .n_prompt_ids = 2, .score = true, .score_from = 1, .on_logits = stand,
                         .on_logits_arg = g, .no_prefix_cache = true };
    hearth_sampling_defaults(NULL, &r.sampling, NULL);
    g->stream = submit(o, &r);
    while (!atomic_load(&g->reached))
        a_moment();
}

/* Let it go on, with n requests waiting. */
static inline void gate_open(const struct opened *o, struct gate *g, int n)
{
    static struct answer scored;
    until_waiting(o, n);
    atomic_store(&g->open, true);
    collect(g->stream, &scored);
}

/* The stream's events are held at event `at`; asked behind a gate, which may be opened now. */
static inline void hold(struct hold *h, hearth_stream *s, int at)
{
    *h = (struct hold){ .stream = s, .at = at };
    hearth_stream_on_wake(s, hold_engine, h);
}
