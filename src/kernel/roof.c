#include "kernel/roof.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/machine.h"

enum {
    PIECE_BYTES = 16 << 20, /* of one thread: 0.4 ms at 40 GB/s, far longer than it takes a thread to start */
    LEAST_REGION_BYTES = 64 << 20,
    CACHES = 16,            /* all regions together in last-level caches: 4 read 104 GB/s where 16 and 32 read 80 */
    PIECES = 24,            /* of a reading, on a quiet machine */
    MOST_PIECES = 96,
    FEWEST = 5,             /* undisturbed pieces that a median is taken of */
    PIECE_NS = 300000,      /* about, of the loops without memory */
    SPINS_BEFORE_YIELD = 2000,
};
static const int64_t reading_ns = 60000000; /* no new piece after that long */

/* What one thread did in a piece, on a cache line of its own. */
struct share {
    _Alignas(64) int64_t begin_ns, end_ns, processor_ns;
    uint64_t sink;
};

struct roofs {
    const struct roof_loops *loops;
    struct pool *pool;
    bool borrowed; /* pool and memory are somebody's */
    int n_threads;
    uint8_t *memory;
    size_t region_bytes; /* of one thread */
    size_t piece_bytes;
    int n[N_ROOFS];      /* loops of a piece */
    struct share *shares;
    uint64_t n_pieces, n_disturbed;

    /* The piece under way. */
    enum roof_kind kind;
    int n_active;
    size_t offset; /* of the part to read, in every region */
    atomic_int waiting;
};

/* Nobody goes on before all are here. The pool lets late workers in as long as thread 0 has not left. */
static void meet(struct roofs *r)
{
    atomic_fetch_add(&r->waiting, 1);
    for (int i = 0; atomic_load_explicit(&r->waiting, memory_order_acquire) < r->n_active; i++)
        if (i >= SPINS_BEFORE_YIELD)
            thread_yield();
}

static uint64_t work(const struct roofs *r, int thread)
{
    switch (r->kind) {
    case ROOF_INT8:
        return r->loops->int8(r->n[ROOF_INT8]);
    case ROOF_F32:
        return r->loops->f32(r->n[ROOF_F32]);
    default:
        return r->loops->read(r->memory + (size_t)thread * r->region_bytes + r->offset, r->piece_bytes);
    }
}

static void piece_thread(void *arg, int thread, int n_threads)
{
    struct roofs *r = arg;
    (void)n_threads;
    if (thread >= r->n_active)
        return;
    struct share *s = &r->shares[thread];
    meet(r);
    int64_t processor = clock_thread_ns();
    s->begin_ns = clock_ns();
    s->sink += work(r, thread);
    s->end_ns = clock_ns();
    s->processor_ns = clock_thread_ns() - processor;
}

/* 10^9 a second, which is one a nanosecond; *disturbed: some thread had less than 95 % of its time on a processor. */
static double piece(struct roofs *r, bool *disturbed)
{
    const double amount[N_ROOFS] = { (double)r->piece_bytes, (double)r->n[ROOF_INT8] * r->loops->int8_macs,
                                     (double)r->n[ROOF_F32] * r->loops->f32_macs };
    atomic_store(&r->waiting, 0);
    pool_run(r->pool, piece_thread, r);
    int64_t begin = INT64_MAX, end = INT64_MIN;
    *disturbed = false;
    for (int i = 0; i < r->n_active; i++) {
        const struct share *s = &r->shares[i];
        begin = s->begin_ns < begin ? s->begin_ns : begin;
        end = s->end_ns > end ? s->end_ns : end;
        *disturbed |= (double)s->processor_ns < 0.95 * (double)(s->end_ns - s->begin_ns);
    }
    r->offset += r->piece_bytes;
    r->offset = r->offset + r->piece_bytes <= r->region_bytes ? r->offset : 0;
    r->n_pieces++;
    r->n_disturbed += *disturbed;
    return amount[r->kind] * r->n_active / (double)(end - begin);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool always(void *arg)
{
    (void)arg;
    return true;
}

/* 0: too few pieces; with quiet_only, too few that were not disturbed. */
static double read_while(struct roofs *r, enum roof_kind kind, int n_threads, bool quiet_only,
                         bool (*go_on)(void *arg), void *arg)
{
    double quiet[MOST_PIECES], all[MOST_PIECES];
    int n_quiet = 0, n = 0;
    int64_t start = clock_ns();
    r->kind = kind;
    r->n_active = max_int(1, min_int(n_threads, r->n_threads));
    while (n < MOST_PIECES && n_quiet < PIECES && (n < FEWEST || clock_ns() - start < reading_ns) && go_on(arg)) {
        bool disturbed;
        all[n] = piece(r, &disturbed);
        if (!disturbed)
            quiet[n_quiet++] = all[n];
        n++;
    }
    if (n < FEWEST || (quiet_only && n_quiet < FEWEST))
        return 0;
    double *of = n_quiet >= FEWEST ? quiet : all;
    n = n_quiet >= FEWEST ? n_quiet : n;
    qsort(of, (size_t)n, sizeof *of, by_value);
    return of[n / 2];
}

double roofs_read(struct roofs *r, enum roof_kind kind, int n_threads)
{
    return read_while(r, kind, n_threads, false, always, NULL);
}

double roofs_read_while(struct roofs *r, enum roof_kind kind, int n_threads, bool (*go_on)(void *arg), void *arg)
{
    return read_while(r, kind, n_threads, true, go_on, arg);
}

double roofs_disturbed(const struct roofs *r)
{
    return r->n_pieces ? (double)r->n_disturbed / (double)r->n_pieces : 0;
}

size_t roofs_bytes(const struct roofs *r) { return r->region_bytes * (size_t)r->n_threads; }

/* How many times a loop runs in a piece: found by running it. */
static int loops_of_piece(uint64_t (*loop)(int n), volatile uint64_t *sink)
{
    int n = 16;
    for (;; n *= 2) {
        int64_t start = clock_ns();
        *sink += loop(n);
        if (clock_ns() - start >= PIECE_NS / 2 || n >= 1 << 28)
            return n;
    }
}

/* Each thread touches its own region, so that the memory is near it. */
static void touch_thread(void *arg, int thread, int n_threads)
{
    struct roofs *r = arg;
    (void)n_threads;
    meet(r);
    memset(r->memory + (size_t)thread * r->region_bytes, thread + 1, r->region_bytes);
}

/* Of one thread. The control group's memory counts: beyond it the process would be ended. */
static size_t region_bytes_for(int n_threads)
{
    struct machine m;
    machine_read(&m);
    size_t cached = CACHES * m.l3_bytes / (size_t)n_threads;
    size_t room = machine_memory_budget(&m) / 4 / (size_t)n_threads;
    return align_size(max_size(LEAST_REGION_BYTES, min_size(cached, room)), PIECE_BYTES);
}

size_t roofs_bytes_for(int n_threads) { return region_bytes_for(n_threads) * (size_t)n_threads; }

struct roofs *roofs_create(const struct kernels *k, int n_threads, hearth_error *err)
{
    struct roofs *r = mem_alloc(sizeof *r);
    if (!r) {
        fail_memory(err, "measuring the machine");
        return NULL;
    }
    r->loops = k->roof;
    r->piece_bytes = PIECE_BYTES;
    r->n_threads = r->n_active = n_threads;
    r->region_bytes = region_bytes_for(n_threads);
    r->memory = mem_pages(r->region_bytes * (size_t)n_threads, NULL);
    r->shares = mem_pages(sizeof *r->shares * (size_t)n_threads, NULL);
    r->pool = r->memory && r->shares ? pool_create(n_threads, err) : NULL;
    if (!r->pool) {
        if (!r->memory || !r->shares)
            fail_memory(err, "measuring the machine");
        roofs_destroy(r);
        return NULL;
    }
    pool_run(r->pool, touch_thread, r);
    r->n[ROOF_INT8] = loops_of_piece(r->loops->int8, &r->shares[0].sink);
    r->n[ROOF_F32] = loops_of_piece(r->loops->f32, &r->shares[0].sink);
    return r;
}

struct roofs *roofs_over(const struct kernels *k, struct pool *pool, const void *memory, size_t bytes,
                         hearth_error *err)
{
    int n_threads = pool_threads(pool);
    size_t region = bytes / (size_t)n_threads / 256 * 256;
    struct roofs *r = region ? mem_alloc(sizeof *r) : NULL;
    struct share *shares = r ? mem_pages(sizeof *shares * (size_t)n_threads, NULL) : NULL;
    if (!shares) {
        mem_free(r);
        fail_memory(err, "measuring how fast weights are read");
        return NULL;
    }
    *r = (struct roofs){ .loops = k->roof, .pool = pool, .borrowed = true, .n_threads = n_threads,
                         .n_active = n_threads, .memory = (uint8_t *)(uintptr_t)memory, .region_bytes = region,
                         .piece_bytes = min_size(region, PIECE_BYTES), .shares = shares };
    return r;
}

void roofs_destroy(struct roofs *r)
{
    if (!r)
        return;
    if (!r->borrowed)
        pool_destroy(r->pool);
    if (r->memory && !r->borrowed)
        mem_pages_free(r->memory, r->region_bytes * (size_t)r->n_threads);
    if (r->shares)
        mem_pages_free(r->shares, sizeof *r->shares * (size_t)r->n_threads);
    mem_free(r);
}
