#define _GNU_SOURCE
#include "base/thread.h"

#include <errno.h>
#include <linux/futex.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

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

bool lock_wait_ms(struct lock *l, double ms)
{
    int64_t until = clock_ns() + (int64_t)(ms * 1e6);
    const struct timespec t = { until / 1000000000, until % 1000000000 };
    return pthread_cond_clockwait(&l->cond, &l->mutex, CLOCK_MONOTONIC, &t) == 0;
}

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

void thread_yield(void) { sched_yield(); }

void thread_sleep_ms(int ms)
{
    struct timespec left = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {}
}

/* ---- the pool ---- */

/* How long a worker spins for the next job before it sleeps. A hand-off to one that spins costs 0.1 us, to one that
 * sleeps 10 to 30; stages of a step follow each other within a few us, steps within some 100. But spinning on a core
 * that somebody else needs, maybe the very thread that is waited for, costs a slice of the scheduler (ms). So who
 * notices that its core was taken away meanwhile spins less, and comes back to it slowly. */
enum {
    SPIN_MOST_NS = 250000,
    SPIN_LEAST_NS = 2000,
    TAKEN_NS = 50000,      /* between two looks at the clock, which are about 1 us apart */
    RELAXES_PER_LOOK = 32,
    SPINS_BEFORE_YIELD = 2000,
};

struct worker {
    struct thread thread;
    struct pool *pool;
    int number;
    int64_t spin_ns;
};

/* A job is open until the caller has run out of tiles; a worker that comes too late does not
 * join it, so a worker whose core was taken away costs nothing unless it sits inside a tile.
 * gate: job number in the upper half, GATE_OPEN, and how many workers are inside. */
#define GATE_OPEN   ((uint64_t)1 << 31)
#define GATE_INSIDE (GATE_OPEN - 1)

struct pool {
    int n_threads;
    int64_t spin_most_ns;
    pool_fn *fn;
    void *arg;
    atomic_bool stop;
    atomic_int caller_cpu;           /* where the last job came from */
    atomic_uint n_jobs;              /* also those that the caller does alone */
    _Alignas(64) atomic_uint job;    /* raised once for every job; workers wait for a change */
    _Alignas(64) atomic_uint asleep; /* workers inside its futex */
    _Alignas(64) atomic_uint active; /* workers with lower numbers take part; the others sleep until it changes */
    _Alignas(64) atomic_uint_fast64_t gate;
    struct worker *workers; /* [n_threads - 1] */
};

static void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void futex_wait(atomic_uint *word, unsigned value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake_all(atomic_uint *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* The next job's number, or seen when it did not come in time. Who stands on the caller's processor waits in vain: the
 * caller is not running then. So it is when a worker was woken there because no other processor was free. */
static unsigned spin_for_job(struct worker *w, unsigned seen)
{
    struct pool *p = w->pool;
    int64_t start = clock_ns(), before = start, now = start;
    bool taken = false;
    unsigned job = seen;
    while (job == seen && now - start < w->spin_ns) {
        for (int i = 0; i < RELAXES_PER_LOOK && job == seen; i++) {
            cpu_relax();
            job = atomic_load_explicit(&p->job, memory_order_acquire);
        }
        now = clock_ns();
        taken |= now - before > TAKEN_NS;
        before = now;
        if (sched_getcpu() == atomic_load_explicit(&p->caller_cpu, memory_order_relaxed)) {
            taken = true;
            break;
        }
    }
    int64_t next = taken ? w->spin_ns / 4 : w->spin_ns + w->spin_ns / 8;
    w->spin_ns = next < SPIN_LEAST_NS ? SPIN_LEAST_NS : next > p->spin_most_ns ? p->spin_most_ns : next;
    return job;
}

static unsigned wait_for_job(struct worker *w, unsigned seen)
{
    struct pool *p = w->pool;
    unsigned active;
    while ((unsigned)w->number >= (active = atomic_load(&p->active)))
        futex_wait(&p->active, active);
    unsigned now = atomic_load_explicit(&p->job, memory_order_acquire);
    if (now == seen)
        now = spin_for_job(w, seen);
    if (now != seen)
        return now;
    atomic_fetch_add(&p->asleep, 1);
    while ((now = atomic_load(&p->job)) == seen)
        futex_wait(&p->job, seen);
    atomic_fetch_sub(&p->asleep, 1);
    return now;
}

static bool enter(struct pool *p, unsigned job)
{
    uint64_t gate = atomic_load_explicit(&p->gate, memory_order_acquire);
    while ((unsigned)(gate >> 32) == job && (gate & GATE_OPEN))
        if (atomic_compare_exchange_weak_explicit(&p->gate, &gate, gate + 1, memory_order_acq_rel,
                                                  memory_order_acquire))
            return true;
    return false;
}

static void worker_main(void *arg)
{
    struct worker *w = arg;
    struct pool *p = w->pool;
    unsigned seen = 0;
    for (;;) {
        seen = wait_for_job(w, seen);
        if (atomic_load_explicit(&p->stop, memory_order_acquire))
            return;
        /* Read after the job's number, so it is what the caller of this job or of a later one wants. */
        unsigned active = atomic_load_explicit(&p->active, memory_order_acquire);
        if ((unsigned)w->number >= active || !enter(p, seen))
            continue;
        p->fn(p->arg, w->number, (int)active);
        atomic_fetch_sub_explicit(&p->gate, 1, memory_order_release);
    }
}

/* That this process may use; 0: unknown. */
static int count_processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
}

struct pool *pool_create(int n_threads, hearth_error *err)
{
    struct pool *p = mem_pages(sizeof *p, NULL); /* its alignment is more than mem_alloc() gives */
    struct worker *workers = mem_alloc(sizeof *workers * (size_t)max_int(n_threads, 1));
    if (!p || !workers) {
        mem_pages_free(p, sizeof *p);
        mem_free(workers);
        fail_memory(err, "the worker threads");
        return NULL;
    }
    int n_processors = count_processors();
    p->n_threads = 1;
    p->workers = workers;
    p->spin_most_ns = n_processors > 0 && n_threads > n_processors ? SPIN_LEAST_NS : SPIN_MOST_NS;
    atomic_init(&p->caller_cpu, -1);
    atomic_init(&p->active, (unsigned)n_threads);
    for (int i = 1; i < n_threads; i++) {
        workers[i - 1] = (struct worker){ .pool = p, .number = i, .spin_ns = p->spin_most_ns };
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
    unsigned job = atomic_load_explicit(&p->job, memory_order_relaxed) + 1;
    atomic_store_explicit(&p->gate, (uint64_t)job << 32 | GATE_OPEN, memory_order_release);
    atomic_store(&p->job, job);
    if (atomic_load(&p->asleep) > 0)
        futex_wake_all(&p->job);
}

void pool_use(struct pool *p, int n_threads)
{
    unsigned before = atomic_load_explicit(&p->active, memory_order_relaxed);
    unsigned now = (unsigned)max_int(1, min_int(n_threads, p->n_threads));
    if (now == before)
        return;
    atomic_store(&p->active, now);
    if (now > before)
        futex_wake_all(&p->active);
}

void pool_destroy(struct pool *p)
{
    if (!p)
        return;
    atomic_store_explicit(&p->stop, true, memory_order_release);
    pool_use(p, p->n_threads);
    announce(p);
    for (int i = 0; i < p->n_threads - 1; i++)
        thread_join(&p->workers[i].thread);
    mem_free(p->workers);
    mem_pages_free(p, sizeof *p);
}

int pool_threads(const struct pool *p) { return p->n_threads; }

int pool_active(const struct pool *p) { return (int)atomic_load_explicit(&p->active, memory_order_relaxed); }

unsigned pool_jobs(const struct pool *p) { return atomic_load_explicit(&p->n_jobs, memory_order_relaxed); }

void pool_run(struct pool *p, pool_fn *fn, void *arg)
{
    int active = pool_active(p);
    atomic_store_explicit(&p->n_jobs, atomic_load_explicit(&p->n_jobs, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    if (active == 1) {
        fn(arg, 0, 1);
        return;
    }
    p->fn = fn;
    p->arg = arg;
    atomic_store_explicit(&p->caller_cpu, sched_getcpu(), memory_order_relaxed);
    announce(p);
    fn(arg, 0, active);
    uint64_t gate = atomic_fetch_and_explicit(&p->gate, ~GATE_OPEN, memory_order_acq_rel);
    /* Workers that joined finish within a tile, or a run of them, of each other; after a while give the core
     * away, since on a shared machine the missing worker may be waiting for just this one. */
    for (int i = 0; gate & GATE_INSIDE; i++) {
        if (i < SPINS_BEFORE_YIELD)
            cpu_relax();
        else
            thread_yield();
        gate = atomic_load_explicit(&p->gate, memory_order_acquire);
    }
}
