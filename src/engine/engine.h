/* engine.h: the one engine thread and what it owns. */
#pragma once
#include "base/pressure.h"
#include "engine/fair.h"
#include "engine/stream.h"

enum { ENGINE_QUEUE_MAX = 256, ENGINE_MAX_MODELS = 16, ENGINE_TURNS = 256 /* that are remembered */ };
/* Of the cache on disk, unless asked otherwise. */
enum { CACHE_LEAST_TOKENS = 512, CACHE_CLOSE_MS = 500 };
#define CACHE_DISK_BYTES ((uint64_t)10 << 30)

/* In order of arrival; under the lock of its owner. */
struct stream_queue {
    struct hearth_stream *first, *last;
    int n;
};
void queue_push(struct stream_queue *q, struct hearth_stream *s);
/* The one whose turn it is (fair.h), of this model; NULL: of any. NULL: there is none. */
struct hearth_stream *queue_pop(struct stream_queue *q, struct fair *turns, const struct hearth_model *model);

/* Under the engine's lock: it waits, it does not any more. */
void engine_waits(struct hearth_engine *e, const struct hearth_stream *s);
void engine_begins(struct hearth_engine *e, const struct hearth_stream *s);

struct lane;
struct disk;

/* What was given back when memory was short. */
struct given {
    atomic_ullong n_times, n_pages, bytes;
};

struct hearth_engine {
    const struct kernels *kernels;
    struct pool *pool;
    int n_threads, n_threads_prefill; /* of steps without and with prompt tokens */
    int n_seqs, n_step_tokens;
    bool measures_reads;  /* in idle time */
    double step_ms; /* how long a step should be while somebody is streamed to */
    uint64_t budget_bytes, request_bytes, program_bytes;
    bool may_take_turns, take_turns; /* not all of its models are awake at once (sleep.c) */
    uint64_t turn_room_bytes;        /* for those that are */
    int64_t keep_awake_ns;           /* an idle model that says nothing else stays awake so long; 0: for ever */
    int64_t sleep_look_ns;           /* on the engine thread: when to look who sleeps; 0: when something happens */
    struct disk *disk;     /* the cache on disk; NULL: none */
    struct pressure pressure; /* on the engine thread */
    int cache_least_tokens, cache_close_ms;

    struct lock lock;          /* guards what follows, up to the blank line */
    struct stream_queue raw;   /* submitted, to be tokenized by the helper thread */
    struct stream_queue inbox; /* ready to run */
    struct fair raw_turns, inbox_turns;
    int n_admitted;            /* streams between submit and END */
    uint64_t raw_bytes;        /* texts of those in raw */
    int n_waiting;             /* in the inbox, or next in a lane */
    uint64_t n_waiting_tokens; /* of their prompts */
    uint64_t n_queue_tokens;   /* the most of them; 0: none */
    uint64_t n_refused;        /* by that */
    bool (*take)(void *arg, uint64_t bytes); /* books of memory; NULL: none */
    void (*give)(void *arg, uint64_t bytes);
    void *books;
    bool booking; /* the helper is between the two */
    struct lane *lanes[ENGINE_MAX_MODELS]; /* of the attached models */
    int n_lanes;
    uint64_t planned_budget_bytes; /* what the attached ones are held against together */
    uint64_t own_bytes, weights_bytes; /* of them; where they take turns of those that are pinned, and what the others
                                          have while they sleep */
    bool planning;             /* somebody plans a model */
    hearth_turn turns[ENGINE_TURNS]; /* the last ones: number n is at n % ENGINE_TURNS */
    uint64_t n_turns;
    int n_leaving;             /* models that wait for the step to end: they come before the next one */
    bool stepping;             /* the engine thread is inside a step: its models must stay */
    bool stop;
    atomic_uint pokes; /* something changed: look again */

    /* Signs of life, which only the engine thread writes and anybody reads without the lock. */
    atomic_uint n_rounds, n_seen_pokes; /* as far as it has looked */
    atomic_bool working;                /* inside a round */
    _Atomic double longest_ms;          /* of a round, lately */

    /* hearth_engine_short() */
    atomic_bool is_short;
    atomic_ullong short_bytes; /* to be given back still */
    struct given given[HEARTH_N_GIVES];

    struct lock ring_lock; /* held while it is called; guards the two */
    void (*ring)(void *arg);
    void *ring_arg;

    struct thread thread, helper;
};

/* After some were woken: hearth_engine_on_wakes(). Any thread of the engine. */
void engine_ring(struct hearth_engine *e);

/* idle.c. Before the model is attached; and on the engine thread, when a round found nothing to do and there were so
 * many pokes. */
bool idle_prepare(struct hearth_model *m, hearth_error *err);
void idle_look(struct hearth_engine *e, struct lane *const *lanes, int n, unsigned n_pokes);

/* give.c, on the engine thread between two rounds: give back what hearth_engine_short() wants. */
void give_look(struct hearth_engine *e, struct lane *const *lanes, int n);

/* The helper thread: text to tokens, one request at a time, at low priority. */
void prepare_main(void *engine);

/* Between the two nobody else plans a model in this engine, and the bytes of those that are open stay. */
void engine_plan_begin(struct hearth_engine *e);
void engine_plan_end(struct hearth_engine *e);
/* Memory of the sequences for a model whose plan is made, and back. Caller thread. */
bool engine_attach(struct hearth_engine *e, struct hearth_model *m, hearth_error *err);
void engine_detach(struct hearth_engine *e, struct hearth_model *m);
