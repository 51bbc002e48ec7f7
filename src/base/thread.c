#define _GNU_SOURCE
#include "base/thread.h"

#include <errno.h>
#include <linux/futex.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"

bool lock_init(struct lock *l)
{
    return pthread_mutex_init(&l->mutex, NULL) == 0 && pthread_cond_init(&l->cond, NULL) == 0;
}

void lock_destroy(struct lock *l)
{
    pthread_mutex_destroy(&l->mutex);
    pthread_cond_destroy(&l->cond);
}

void lock_take(struct lock *l) { pthread_mutex_lock(&l->mutex); }
void lock_release(struct lock *l) { pthread_mutex_unlock(&l->mutex); }
void lock_wait(struct lock *l) { pthread_cond_wait(&l->cond, &l->mutex); }
void lock_wake_all(struct lock *l) { pthread_cond_broadcast(&l->cond); }

/* What a new thread needs; freed by that thread. */
struct start {
    void (*fn)(void *);
    void *arg;
    char name[16];
};

static void *trampoline(void *p)
{
    struct start s = *(struct start *)p;
    mem_free(p);
    pthread_setname_np(pthread_self(), s.name);
    s.fn(s.arg);
    return NULL;
}

bool thread_start(struct thread *t, const char *name, void (*fn)(void *), void *arg, hearth_error *err)
{
    struct start *s = mem_alloc(sizeof *s);
    if (!s)
        return fail_memory(err, "starting a thread");
    s->fn = fn;
    s->arg = arg;
    strncpy(s->name, name, sizeof s->name - 1);
    int code = pthread_create(&t->id, NULL, trampoline, s);
    t->running = code == 0;
    if (code) {
        mem_free(s);
        return fail(err, HEARTH_ERR_IO, "cannot start thread %s: %s; raise the limit on processes (ulimit -u)", name,
                    strerror(code));
    }
    return true;
}

void thread_join(struct thread *t)
{
    if (t->running)
        pthread_join(t->id, NULL);
    t->running = false;
}

void thread_low_priority(void) { (void)!setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 10); }

/* ---- the pool ---- */

enum { SPINS_BEFORE_SLEEP = 20000 }; /* some tens of microseconds of pause instructions */

struct worker {
    struct thread thread;
    struct pool *pool;
    int number;
};

struct pool {
    int n_threads;
    pool_fn *fn;
    void *arg;
    bool stop;
    _Alignas(64) atomic_uint job;    /* raised once for every job; workers wait for a change */
    _Alignas(64) atomic_uint asleep; /* workers inside the futex */
    _Alignas(64) atomic_int busy;    /* workers that have not finished the job */
    struct worker *workers;          /* [n_threads - 1] */
};

static void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static unsigned wait_for_job(struct pool *p, unsigned seen)
{
    unsigned now = seen;
    for (int i = 0; i < SPINS_BEFORE_SLEEP; i++) {
        now = atomic_load_explicit(&p->job, memory_order_acquire);
        if (now != seen)
            return now;
        cpu_relax();
    }
    atomic_fetch_add(&p->asleep, 1);
    while ((now = atomic_load(&p->job)) == seen)
        syscall(SYS_futex, &p->job, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    atomic_fetch_sub(&p->asleep, 1);
    return now;
}

static void worker_main(void *arg)
{
    struct worker *w = arg;
    struct pool *p = w->pool;
    unsigned seen = 0;
    for (;;) {
        seen = wait_for_job(p, seen);
        if (p->stop)
            return;
        p->fn(p->arg, w->number, p->n_threads);
        atomic_fetch_sub_explicit(&p->busy, 1, memory_order_release);
    }
}

struct pool *pool_create(int n_threads, hearth_error *err)
{
    struct pool *p = NULL;
    size_t bytes = align_size(sizeof *p, 64);
    p = mem_alloc(bytes + 64);
    struct worker *workers = mem_alloc(sizeof *workers * (size_t)max_int(n_threads, 1));
    if (!p || !workers) {
        mem_free(p);
        mem_free(workers);
        fail_memory(err, "the worker threads");
        return NULL;
    }
    p->n_threads = 1;
    p->workers = workers;
    for (int i = 1; i < n_threads; i++) {
        workers[i - 1] = (struct worker){ .pool = p, .number = i };
        if (!thread_start(&workers[i - 1].thread, "hearth-worker", worker_main, &workers[i - 1], err)) {
            pool_destroy(p);
            return NULL;
        }
        p->n_threads = i + 1;
    }
    return p;
}

static void announce(struct pool *p)
{
    atomic_fetch_add(&p->job, 1);
    if (atomic_load(&p->asleep) > 0)
        syscall(SYS_futex, &p->job, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void pool_destroy(struct pool *p)
{
    if (!p)
        return;
    p->stop = true;
    announce(p);
    for (int i = 0; i < p->n_threads - 1; i++)
        thread_join(&p->workers[i].thread);
    mem_free(p->workers);
    mem_free(p);
}

int pool_threads(const struct pool *p) { return p->n_threads; }

void pool_run(struct pool *p, pool_fn *fn, void *arg)
{
    if (p->n_threads > 1) {
        p->fn = fn;
        p->arg = arg;
        atomic_store_explicit(&p->busy, p->n_threads - 1, memory_order_relaxed);
        announce(p);
    }
    fn(arg, 0, p->n_threads);
    if (p->n_threads == 1)
        return;
    /* Workers finish within one tile of each other; after a while give the core away, since on
     * a shared machine the missing worker may be waiting for just this one. */
    for (int i = 0; atomic_load_explicit(&p->busy, memory_order_acquire) > 0; i++) {
        if (i < SPINS_BEFORE_SLEEP)
            cpu_relax();
        else
            sched_yield();
    }
}
