/* figures.h: what a model is doing, for those who look on from other threads: metrics, a dump of the state.
 *
 * The engine thread writes, each figure by itself and without a lock (it is the only writer, so a load and a store are
 * enough), when a step is planned: should that step never end, it is what is seen. Readers get figures that may be of
 * two steps next to each other. Only the id of a request stands under the engine's lock, which is taken once for each
 * request. */
#pragma once
#include <stdatomic.h>

#include "engine/sched.h"
#include "hearth/hearth.h"

struct slot_figures {
    atomic_int state; /* hearth_slot_state */
    atomic_int n_prompt, n_done, n_output;
    atomic_uint n_pages;
    uint64_t order; /* engine thread: whose they are */
    char request_id[HEARTH_REQUEST_ID_BYTES + 1]; /* under the engine's lock */
};

struct model_figures {
    struct slot_figures slot[SCHED_MAX_SEQS];
    atomic_uint n_used_pages, n_kept_pages, n_touched_pages, n_touched_states;
    atomic_ullong n_steps;
    atomic_llong step_ns; /* when the last one began; 0: none did */
    atomic_ullong gaps[HEARTH_N_TIMES], gaps_ns;
};

/* A token came so long after the one before it. Engine thread. */
void figures_gap(struct model_figures *f, int64_t ns);

/* How the pool is. Engine thread. */
struct hearth_model;
void figures_pages(struct hearth_model *m);

/* A step is planned. Engine thread. */
struct lane;
void figures_show(struct lane *l, const struct sched_seq *seqs);
