/* bench_sampler: microseconds to choose one token from random logits.
 *
 *   bench_sampler [--csv FILE] [--windows N]
 *
 * Each figure is the median of N windows; logits are those of a vocabulary of 2,048, 32,000 and 152,000 tokens, normal
 * with a deviation of 3, another vector each time, in the cache as they are after the output projection. Rows
 * "benchmark,value,unit,low,high,runs,roof" are appended to FILE, as by bench_kernel; there is no roof (0). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rng.h"
#include "infer/sampler.h"

enum { MAX_WINDOWS = 501, MAX_VOCAB = 152000, VECTORS = 4 };

static struct {
    FILE *csv;
    int n_windows;
    const struct kernels *k;
    float *logits[VECTORS], *work;
    struct sampler_room room;
} bench = { .n_windows = 101 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *name, const hearth_sampling *s, int n_vocab)
{
    double us[MAX_WINDOWS];
    int n = bench.n_windows;
    struct sampling_memory memory = { .mu = 2 * (double)s->mirostat_tau };
    struct sampling_state state = { .params = s, .order = sampling_order_standard(), .seed = 7, .memory = &memory };
    for (int w = -3; w < n; w++) {
        memcpy(bench.work, bench.logits[(w + 3) % VECTORS], sizeof(float) * (size_t)n_vocab);
        int64_t start = clock_ns();
        state.seed += (uint64_t)sampler_choose(bench.k, bench.work, n_vocab, &state, &bench.room);
        if (w >= 0)
            us[w] = (double)(clock_ns() - start) / 1e3;
    }
    qsort(us, (size_t)n, sizeof *us, by_value);
    printf("%-28s %7d tokens %10.2f us  (%.2f to %.2f)\n", name, n_vocab, us[n / 2], us[n / 4], us[3 * n / 4]);
    if (bench.csv)
        fprintf(bench.csv, "sampler %s of %d,%.4g,us,%.4g,%.4g,%d,0\n", name, n_vocab, us[n / 2], us[n / 4],
                us[3 * n / 4], n);
}

static hearth_sampling only(float temperature)
{
    hearth_sampling s;
    hearth_sampling_defaults(NULL, &s, NULL);
    s.temperature = temperature;
    s.top_k = 0;
    s.top_p = 1;
    s.min_p = 0;
    return s;
}

static void measure_all(int n_vocab)
{
    hearth_sampling s;
    hearth_sampling_defaults(NULL, &s, NULL);
    measure("top_k 40 top_p min_p", &s, n_vocab);
    s = only(0.8f);
    s.min_p = 0.05f;
    measure("min_p", &s, n_vocab);
    s = only(0);
    measure("temperature 0", &s, n_vocab);
    s = only(0.8f);
    s.top_n_sigma = 1;
    measure("top_n_sigma", &s, n_vocab);
    s = only(0.8f);
    s.mirostat = 2;
    measure("mirostat 2", &s, n_vocab);
    s = only(0.8f);
    s.top_p = 0.95f;
    measure("top_p of all", &s, n_vocab);
}

static bool set_up(void)
{
    hearth_error err = { 0 };
    struct rng rng = { 1, 0 };
    bench.k = kernels_get(&err);
    bench.work = mem_alloc(sizeof(float) * MAX_VOCAB);
    void *room = mem_alloc(sampler_room_bytes(MAX_VOCAB, 1));
    if (!bench.k || !bench.work || !room)
        return false;
    sampler_room_layout(&bench.room, room, MAX_VOCAB, 1);
    for (int v = 0; v < VECTORS; v++) {
        if (!(bench.logits[v] = mem_alloc(sizeof(float) * MAX_VOCAB)))
            return false;
        for (int i = 0; i < MAX_VOCAB; i++)
            bench.logits[v][i] = 3 * rng_normal(&rng);
    }
    return true;
}

int main(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--csv") == 0)
            bench.csv = fopen(argv[i + 1], "a");
        else if (strcmp(argv[i], "--windows") == 0)
            bench.n_windows = max_int(1, min_int(atoi(argv[i + 1]), MAX_WINDOWS));
    }
    if (!set_up()) {
        fprintf(stderr, "bench_sampler: no memory, or no instruction set\n");
        return 1;
    }
    measure_all(2048);
    measure_all(32000);
    measure_all(152000);
    return bench.csv && fclose(bench.csv) != 0;
}
