/* thread.h: threads, a worker pool with a barrier, and the lock every queue uses. */
#pragma once
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

#include "base/base.h"
#include "base/err.h"

/* A pool runs one function on the caller (thread 0) and on every worker that is there in
 * time, and waits for those that joined. So the function must take its work from a shared
 * counter (struct tiles, struct runs) and return when none is left; how many threads join decides speed,
 * never results. Workers spin for up to 250 us after a job (a hand-off to a
 * sleeping one costs 10 to 30 us, to a spinning one 0.1), less while others need their cores or
 * where there are more threads than processors, and then sleep: an idle pool uses no processor. */
struct pool; /* opaque */
typedef void pool_fn(void *arg, int thread, int n_threads);

struct pool *pool_create(int n_threads, hearth_error *err); /* n_threads >= 1 */
void pool_destroy(struct pool *p);                          /* NULL is fine */
int pool_threads(const struct pool *p);
int pool_active(const struct pool *p); /* of them, those that take part (pool_use()) */
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

/* Tiles whose neighbours are read faster one after the other: each thread has a share of them in a row, takes runs from
 * its beginning, half of what is left each time, and when it is through half of what is left of another's, from that
 * one's end. So threads go on where they were, and end together (work stealing, of ranges). */
enum { RUNS_MAX_SHARES = 64 }; /* more threads have shares together */
struct runs {
    int n_shares;
    struct runs_share {
        alignas(64) atomic_ullong left; /* first tile << 32 | the one after the last */
    } share[RUNS_MAX_SHARES];
};
static inline void runs_reset(struct runs *r, int n_tiles, int n_threads)
{
    r->n_shares = min_int(n_threads, RUNS_MAX_SHARES);
    for (int i = 0; i < r->n_shares; i++) {
        unsigned long long begin = (unsigned long long)n_tiles * (unsigned)i / (unsigned)r->n_shares;
        unsigned long long end = (unsigned long long)n_tiles * (unsigned)(i + 1) / (unsigned)r->n_shares;
        atomic_store_explicit(&r->share[i].left, begin << 32 | end, memory_order_relaxed);
    }
}
/* A run of *n tiles from this share's beginning, or end. Negative: nothing is left of it. */
static inline int runs_take_from(struct runs_share *s, bool from_end, int *n)
{
    unsigned long long left = atomic_load_explicit(&s->left, memory_order_relaxed);
    for (;;) {
        int begin = (int)(left >> 32), end = (int)(left & 0xffffffff);
        if (begin >= end)
            return -1;
        *n = (end - begin + 1) / 2;
        unsigned long long after = from_end ? left - (unsigned)*n : left + ((unsigned long long)*n << 32);
        if (atomic_compare_exchange_weak_explicit(&s->left, &left, after, memory_order_relaxed, memory_order_relaxed))
            return from_end ? end - *n : begin;
    }
}
/* Negative: nothing is left. */
static inline int runs_take(struct runs *r, int thread, int *n)
{
    int at = runs_take_from(&r->share[thread % r->n_shares], false, n);
    for (int i = 1; at < 0 && i < r->n_shares; i++)
        at = runs_take_from(&r->share[(thread + i) % r->n_shares], true, n);
    return at;
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
