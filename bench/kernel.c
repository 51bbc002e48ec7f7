/* bench_kernel: the matrix kernels beside the two ceilings of the machine, measured in the same run.
 *
 *   bench_kernel [--roofs] [--csv FILE] [--windows N] [--mib N] [FORMAT...]
 *
 * The roofs are those of kernel/roof.h: memory read with the widest loads, and multiply-adds on registers. Each
 * figure is the median of windows that alternate with readings of its roof, because shared machines
 * drift. With --roofs the roofs are all. Rows "benchmark,value,unit,low,high,runs,roof" are appended
 * to FILE: median, quartiles, and the median of the roof beside it (0: none); bench/engine.py makes
 * rows of bench/results/ of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tests/random_block.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/machine.h"
#include "base/rng.h"
#include "base/thread.h"
#include "kernel/gemm.h"
#include "kernel/roof.h"

enum { MAX_WINDOWS = 64, MAX_THREADS = 64, TASK_ROWS = 64 };

static struct {
    const struct kernels *k;
    struct roofs *roofs;
    struct pool *pool[MAX_THREADS + 1];
    FILE *csv;
    bool roofs_only;
    int n_windows, n_threads;
    uint8_t *weights;
    size_t weight_bytes;
    uint8_t *act_mem, *scratch; /* scratch: one per thread */
    float *x, *y;
} bench = { .n_windows = 9, .weight_bytes = (size_t)512 << 20 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return v[n / 2];
}

/* The windows of one figure; roof NULL: it is one itself, or has none. Sorts both. */
static void report(const char *what, double *value, double *roof, const char *unit)
{
    int n = bench.n_windows;
    double middle = median(value, n), beside = roof ? median(roof, n) : 0;
    printf("%-44s %10.3f %s", what, middle, unit);
    if (beside > 0)
        printf(" %6.1f %% of the roof", 100 * middle / beside);
    putchar('\n');
    fflush(stdout);
    if (bench.csv)
        fprintf(bench.csv, "%s,%.4g,%s,%.4g,%.4g,%d,%.4g\n", what, middle, unit, value[n / 4], value[3 * n / 4], n,
                beside);
}

/* --- the machine --- */

#if defined(__x86_64__)
/* Gigahertz, by a chain of dependent additions. */
static double clock_ghz(void)
{
    enum { LOOPS = 400000 };
    uint64_t n = LOOPS, x = 0;
    int64_t start = clock_ns();
    __asm__ volatile("1:\n\t.rept 20\n\tadd $1, %1\n\t.endr\n\tdec %0\n\tjnz 1b" : "+r"(n), "+r"(x));
    return 20.0 * LOOPS / (double)(clock_ns() - start);
}

#else
static double clock_ghz(void) { return 0; }
#endif

/* --- matrices --- */

struct job {
    struct mat w;
    struct act x;
    struct tiles tiles;
};

static void job_thread(void *arg, int thread, int n_threads)
{
    struct job *j = arg;
    (void)n_threads;
    for (int t = tiles_take(&j->tiles); t < j->tiles.n; t = tiles_take(&j->tiles))
        gemm_rows(bench.k, &j->w, t * TASK_ROWS, min_int((t + 1) * TASK_ROWS, j->w.n_rows), &j->x, bench.y,
                  (size_t)j->w.n_rows, bench.scratch + (size_t)thread * KERNEL_SCRATCH_BYTES);
}

static struct job job_make(enum dtype type, int n_rows, int n_cols, int n_tokens)
{
    const struct dtype_info *d = &dtype_table[type];
    struct job j = { .w = { type, bench.weights, dtype_row_bytes(type, (size_t)n_cols), n_rows, n_cols } };
    act_init(&j.x, bench.k, d->act, n_tokens, n_cols, bench.act_mem);
    for (int t = 0; t < n_tokens; t++)
        act_fill(&j.x, bench.k, t, bench.x + 61 * t);
    return j;
}

static double job_seconds(struct job *j, int n_threads)
{
    tiles_reset(&j->tiles, (j->w.n_rows + TASK_ROWS - 1) / TASK_ROWS);
    int64_t start = clock_ns();
    pool_run(bench.pool[n_threads], job_thread, j);
    return (double)(clock_ns() - start) / 1e9;
}

/* Legal blocks everywhere: some thousand different ones, repeated. */
static void fill_weights(enum dtype type)
{
    const struct dtype_info *d = &dtype_table[type];
    struct rng rng = { 1, 0 };
    size_t part = (size_t)d->block_bytes * 4096;
    for (size_t at = 0; at < part; at += (size_t)d->block_bytes)
        random_block(d, &rng, 0.05f, bench.weights + at);
    for (size_t at = part; at < bench.weight_bytes; at += part)
        memcpy(bench.weights + at, bench.weights, min_size(part, bench.weight_bytes - at));
}

/* From memory: one column (or a few), the whole matrix each window. */
static void bench_gemv(enum dtype type, int n_cols, int n_tokens, int n_threads)
{
    double gbs[MAX_WINDOWS], roof[MAX_WINDOWS];
    char name[80];
    int n_rows = (int)(bench.weight_bytes / dtype_row_bytes(type, (size_t)n_cols));
    n_rows = min_int(n_rows, 400000) / TASK_ROWS * TASK_ROWS;
    struct job j = job_make(type, n_rows, n_cols, n_tokens);
    double bytes = (double)n_rows * (double)j.w.row_bytes;
    for (int i = 0; i < bench.n_windows; i++) {
        roof[i] = roofs_read(bench.roofs, ROOF_READ, n_threads);
        gbs[i] = bytes / job_seconds(&j, n_threads) / 1e9;
    }
    snprintf(name, sizeof name, "gemv %s %d columns %d threads", dtype_table[type].name, n_tokens, n_threads);
    report(name, gbs, roof, "GB/s");
}

static void bench_gemm(enum dtype type, int n_cols, int n_tokens)
{
    double gmacs[MAX_WINDOWS], roof[MAX_WINDOWS];
    char name[80];
    struct job j = job_make(type, n_tokens > 64 ? 1024 : 8192, n_cols, n_tokens);
    double macs = (double)j.w.n_rows * n_cols * n_tokens;
    enum roof_kind kind = dtype_table[type].act == ACT_F32 ? ROOF_F32 : ROOF_INT8;
    for (int i = 0; i < bench.n_windows; i++) {
        double before = roofs_read(bench.roofs, kind, 1);
        gmacs[i] = macs / job_seconds(&j, 1) / 1e9;
        roof[i] = (before + roofs_read(bench.roofs, kind, 1)) / 2;
    }
    snprintf(name, sizeof name, "gemm %s K=%d %d columns", dtype_table[type].name, n_cols, n_tokens);
    report(name, gmacs, roof, "GMAC/s");
}

static void bench_format(enum dtype type)
{
    fill_weights(type);
    for (int t = 1; t <= bench.n_threads; t *= 2)
        bench_gemv(type, 4096, 1, t);
    if (dtype_table[type].act == ACT_F32) {
        bench_gemm(type, 2048, 64);
        return;
    }
    for (int n = 2; n <= 4; n++)
        bench_gemv(type, 4096, n, 1);
    for (int n = 2; n <= 16; n *= 2)
        bench_gemm(type, 2048, n);
    bench_gemm(type, 2048, 512);
    bench_gemm(type, 4096, 512);
}

static void bench_roofs(void)
{
    static const char *const what[N_ROOFS] = { "read", "int8", "f32" };
    double v[MAX_WINDOWS];
    char name[80];
    for (int t = 1; t <= bench.n_threads; t++) {
        for (int kind = 0; kind < N_ROOFS; kind++) {
            for (int i = 0; i < bench.n_windows; i++)
                v[i] = roofs_read(bench.roofs, (enum roof_kind)kind, t);
            snprintf(name, sizeof name, "%s roof %d threads", what[kind], t);
            report(name, v, NULL, kind == ROOF_READ ? "GB/s" : "GMAC/s");
        }
    }
    for (int i = 0; i < bench.n_windows; i++)
        v[i] = clock_ghz();
    report("clock", v, NULL, "GHz");
    printf("others disturbed %.0f %% of the pieces that the roofs are made of\n", 100 * roofs_disturbed(bench.roofs));
}

static bool set_up(hearth_error *err)
{
    bench.k = kernels_get(err);
    if (!bench.k)
        return false;
    struct machine m;
    machine_read(&m);
    bench.n_threads = max_int(1, min_int(m.n_cores, MAX_THREADS));
    for (int t = 1; t <= bench.n_threads; t++) {
        bench.pool[t] = pool_create(t, err);
        if (!bench.pool[t])
            return false;
    }
    bench.roofs = roofs_create(bench.k, bench.n_threads, err);
    if (!bench.roofs)
        return false;
    enum { TOKENS = 512, COLS = 4096 };
    bench.weights = mem_pages(bench.weight_bytes, NULL);
    bench.act_mem = mem_pages(act_bytes(TOKENS, COLS), NULL);
    bench.scratch = mem_pages((size_t)bench.n_threads * KERNEL_SCRATCH_BYTES, NULL);
    bench.x = mem_pages(sizeof(float) * (COLS + 61 * TOKENS), NULL);
    bench.y = mem_pages(sizeof(float) * 400000 * 16, NULL);
    if (!bench.weights || !bench.act_mem || !bench.scratch || !bench.x || !bench.y)
        return fail_memory(err, "setting up the benchmark");
    struct rng rng = { 2, 0 };
    for (int i = 0; i < COLS + 61 * TOKENS; i++)
        bench.x[i] = rng_normal(&rng);
    return true;
}

int main(int argc, char **argv)
{
    hearth_error err = { 0 };
    bool chosen[N_DTYPES] = { false }, any = false;
    for (int i = 1; i < argc; i++) {
        enum dtype t;
        bool more = i + 1 < argc;
        if (more && strcmp(argv[i], "--csv") == 0)
            bench.csv = fopen(argv[++i], "a");
        else if (strcmp(argv[i], "--roofs") == 0)
            bench.roofs_only = true;
        else if (more && strcmp(argv[i], "--windows") == 0)
            bench.n_windows = max_int(1, min_int(atoi(argv[++i]), MAX_WINDOWS));
        else if (more && strcmp(argv[i], "--mib") == 0)
            bench.weight_bytes = (size_t)max_int(16, atoi(argv[++i])) << 20;
        else if (dtype_from_name(argv[i], &t))
            any = chosen[t] = true;
        else {
            fprintf(stderr, "usage: bench_kernel [--roofs] [--csv FILE] [--windows N] [--mib N] [FORMAT...]\n");
            return 2;
        }
    }
    if (!set_up(&err)) {
        fprintf(stderr, "bench_kernel: %s\n", err.message);
        return 1;
    }
    printf("isa %s\n", bench.k->isa);
    memset(bench.weights, 1, bench.weight_bytes);
    bench_roofs();
    for (int t = 0; t < N_DTYPES && !bench.roofs_only; t++)
        if (!any || chosen[t])
            bench_format((enum dtype)t);
    return bench.csv && fclose(bench.csv) != 0;
}
