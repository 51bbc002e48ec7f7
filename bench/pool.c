/* pool.c: what the hand-off between threads costs. bench_pool [HOGS]
 *
 * Jobs of a few tiles, each some microseconds of arithmetic, as a decoding step has them: how much longer than the
 * tiles' own time, divided by the threads, a job takes. Once right after each other (workers spin), once with a pause
 * (workers sleep). HOGS: threads that compute all the time beside it. More threads than processors are measured too. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/base.h"
#include "base/clock.h"
#include "base/machine.h"
#include "base/thread.h"

enum { JOBS = 2000, TILES = 16, MOST_HOGS = 64 };

static atomic_bool stop;
static atomic_uint_fast64_t sink;

static uint64_t work(int rounds)
{
    uint64_t v = 1;
    for (int i = 0; i < rounds; i++)
        v = v * 6364136223846793005u + 1442695040888963407u;
    return v;
}

static void hog(void *arg)
{
    (void)arg;
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        atomic_fetch_add(&sink, work(1000));
}

struct job {
    struct tiles tiles;
    int rounds;
};

static void run_tiles(void *arg, int thread, int n_threads)
{
    struct job *job = arg;
    (void)thread;
    (void)n_threads;
    while (tiles_take(&job->tiles) < job->tiles.n)
        atomic_fetch_add_explicit(&sink, work(job->rounds), memory_order_relaxed);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* us of one job, the median and the 99th percentile. */
static void measure(struct pool *p, int rounds, int pause_us, int n_jobs)
{
    static double us[JOBS];
    struct job job = { .rounds = rounds };
    int64_t cpu = clock_process_ns(), wall = clock_ns();
    double sum = 0;
    for (int i = 0; i < n_jobs; i++) {
        if (pause_us)
            nanosleep(&(struct timespec){ .tv_nsec = pause_us * 1000L }, NULL);
        tiles_reset(&job.tiles, TILES);
        int64_t start = clock_ns();
        pool_run(p, run_tiles, &job);
        us[i] = (double)(clock_ns() - start) / 1e3;
        sum += us[i];
    }
    wall = clock_ns() - wall;
    cpu = clock_process_ns() - cpu;
    qsort(us, (size_t)n_jobs, sizeof *us, ascending);
    printf("  %7.1f %8.1f %8.1f %6.0f", us[n_jobs / 2], sum / n_jobs, us[n_jobs * 99 / 100],
           100.0 * (double)cpu / (double)wall);
}

int main(int argc, char **argv)
{
    struct thread hogs[MOST_HOGS] = { 0 };
    struct machine m;
    int n_hogs = argc > 1 ? max_int(0, min_int(MOST_HOGS, atoi(argv[1]))) : 0;
    machine_read(&m);
    printf("us of a job of %d tiles: median, mean, 99 %%, CPU %%, with %d others\n", TILES, n_hogs);
    printf("threads  tile_us | at once                           | after 300 us                      | after 3 ms\n");
    for (int i = 0; i < n_hogs; i++)
        if (!thread_start(&hogs[i], "hog", hog, NULL, NULL))
            return 1;
    for (int n_threads = 1; n_threads <= 2 * m.n_logical; n_threads *= 2)
        for (int rounds = 200; rounds <= 20000; rounds *= 10) {
            struct pool *p = pool_create(n_threads, NULL);
            if (!p)
                return 1;
            int64_t start = clock_ns();
            atomic_fetch_add(&sink, work(rounds * 100));
            printf("%7d %8.1f", n_threads, (double)(clock_ns() - start) / 1e5);
            measure(p, rounds, 0, JOBS);
            measure(p, rounds, 300, JOBS / 4);
            measure(p, rounds, 3000, JOBS / 20);
            printf("\n");
            fflush(stdout);
            pool_destroy(p);
        }
    atomic_store(&stop, true);
    for (int i = 0; i < n_hogs; i++)
        thread_join(&hogs[i]);
    return 0;
}
