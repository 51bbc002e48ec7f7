/* lane.h: a model's place in an engine: its sequences, and the step that computes them.
 *
 * Owned by the engine thread while it is attached. Sequences share the pages of one pool, which may hold fewer than all
 * of them could need. Who runs then goes by age: a request begins when the pages of its prompt are there; where an
 * older sequence finds none for its next token, the youngest gives its pages back (one whose reader is slow before all
 * others) and is computed again when there is room (preemption by recomputing). The oldest always goes on, and the pool
 * holds a whole context: so every request ends. */
#pragma once
#include "engine/engine.h"
#include "engine/pace.h"
#include "engine/sched.h"
#include "engine/seq.h"

struct lane {
    struct hearth_engine *e;
    struct hearth_model *model;
    struct seq *seqs; /* [n_seqs of the engine] */
    uint64_t n_begun;
    unsigned n_steps;            /* whose turn it is to draft first */
    struct hearth_stream *next;  /* the next to begin, when there are pages; also under the engine's lock */
    struct pace pace;
    uint64_t own_bytes, weights_bytes; /* of the model, as the engine counts it */
    uint64_t awake_bytes; /* that it takes while its model is awake, and not while that sleeps (sleep.c) */
    bool held;            /* it begins nothing new */
    int64_t used_ns, woke_ns;
    int n_lanes, n_other_answers; /* models in this round, and what the others are answering: they wait for its step */
    struct batch batch;
    int32_t *batch_tokens;      /* [ws.max_tokens] */
    struct batch_slice *slices; /* [n_seqs] */
};

/* One step. False: nothing could run. */
bool lane_step(struct lane *l);
/* How many sequences are answering. */
int lane_answers(struct lane *l);
/* Streams that ended since the last call, as a chain. */
struct hearth_stream *lane_take_finished(struct lane *l);

/* sleep.c: who sleeps and who wakes, before a round. Returns when to look again if nothing happens; 0: not before
 * something does. */
int64_t sleep_look(struct hearth_engine *e, struct lane *const *lanes, int n);
/* Idle models sleep, the longest unused first, until so many bytes of keys, values and workspace went back or none is
 * left. Returns how many; adds to *n_pages. */
uint64_t sleep_for_memory(struct lane *const *lanes, int n, uint64_t bytes, uint64_t *n_pages);

/* room.c: who has pages. */

/* Begin what fits: those that were preempted before all that wait. */
void lane_admit(struct lane *l);
/* Pages for the plan's slices, the oldest first. What finds none is taken out of the plan, without its draft first. */
void lane_reserve(struct lane *l, struct plan *plan);
