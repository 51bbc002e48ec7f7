/* thread.h: threads, a worker pool with a barrier, and the lock every queue uses. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "base/base.h"
#include "base/err.h"

/* A pool runs one function on the caller (thread 0) and on every worker that is there in
 * time, and waits for those that joined. So the function must take its work from a shared
 * counter (struct tiles) and return when none is left; how many threads join decides speed,
 * never results. Workers spin for up to 250 us after a job (a hand-off to a
 * sleeping one costs 10 to 30 us, to a spinning one 0.1), less while others need their cores or
 * where there are more threads than processors, and then sleep: an idle pool uses no processor. */
struct pool; /* opaque */
typedef void pool_fn(void *arg, int thread, int n_threads);

struct pool *pool_create(int n_threads, hearth_error *err); /* n_threads >= 1 */
void pool_destroy(struct pool *p);                          /* NULL is fine */
int pool_threads(const struct pool *p);
/* Jobs that were begun until now. Any thread: it goes on while the one that runs them does. */
unsigned pool_jobs(const struct pool *p);
/* From the next job on only n_threads of them take part (held to 1 .. pool_threads()); the others sleep. Called by the
 * thread that runs jobs, between them. */
void pool_use(struct pool *p, int n_threads);
/* Only one thread may call this at a time. fn's n_threads is how many may take part; thread is below it. */
void pool_run(struct pool *p, pool_fn *fn, void *arg);

/* Tiles of a job are handed out in ascending order from one counter, so that a thread that
 * is preempted holds back one tile and no more. */
struct tiles {
    atomic_int next;
    int n;
};
static inline void tiles_reset(struct tiles *t, int n)
{
    t->n = n;
    atomic_store_explicit(&t->next, 0, memory_order_relaxed);
}
static inline int tiles_take(struct tiles *t) /* >= t->n: nothing left */
{
    return atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed);
}

/* Some tiles in a row, *n of them: long runs first, because memory is read faster in long runs, and shorter ones the
 * fewer are left, so that all n_threads end together (guided self-scheduling: Polychronopoulos and Kuck 1987). */
static inline int tiles_take_run(struct tiles *t, int n_threads, int *n)
{
    int at = atomic_load(&t->next);
    do
        *n = max_int(1, (t->n - at) / (2 * n_threads));
    while (at < t->n && !atomic_compare_exchange_weak(&t->next, &at, at + *n));
    return at; /* >= t->n: nothing left */
}

/* One mutex with its condition. */
struct lock {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
};
bool lock_init(struct lock *l);
void lock_destroy(struct lock *l);
void lock_take(struct lock *l);
void lock_release(struct lock *l);
void lock_wait(struct lock *l); /* the lock is held before and after */
/* The same, but not longer than about so long. False: the time is over. */
bool lock_wait_ms(struct lock *l, double ms);
void lock_wake_all(struct lock *l);

/* A thread that is joined by its owner. name: at most 15 characters, seen in `top -H`. */
struct thread {
    pthread_t id;
    bool running;
};
bool thread_start(struct thread *t, const char *name, void (*fn)(void *), void *arg, hearth_error *err);
void thread_join(struct thread *t); /* fine when never started */
void thread_low_priority(void);     /* for the calling thread: nice +10 */
void thread_yield(void);            /* let another thread run first */
void thread_sleep_ms(int ms);       /* or somewhat longer */
