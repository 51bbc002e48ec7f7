/* attention.c: attention alone, on one thread, beside the machine's ceilings. bench_attention [ROUNDS] [CASE]
 *
 * Each figure is the best of ROUNDS (30) in processor time of the thread, which others on the machine disturb least;
 * the roofs are measured the same way between the rounds. Caches of several layers are used in turn, 256 MiB or more
 * in all, so that one token reads its keys from memory, as a decoding step does. MAC: as causal attention needs them,
 * 2 * head size for every key that a query sees (head and value, where values are a part of their keys: latent
 * attention, 16 heads in a task). Run it pinned to one processor; CASE: only the lines that hold this
 * text. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rng.h"
#include "kernel/attention.h"
#include "kernel/roof.h"

enum { KV_HEADS = 8, MAX_PAGES = 512, MAX_LAYERS = 64, ROOF_BYTES = 1 << 23 };
static const size_t CACHE_BYTES = (size_t)1 << 29;

static struct {
    const struct kernels *k;
    int rounds;
    const char *only;
    uint8_t *cache, *scratch;
    float *q, *out;
    uint32_t pages[MAX_PAGES];
    volatile uint64_t sink;
} bench;

static double f32_roof(void)
{
    enum { TIMES = 20000 };
    int64_t start = clock_thread_ns();
    bench.sink = bench.k->roof->f32(TIMES);
    return (double)TIMES * bench.k->roof->f32_macs / (double)(clock_thread_ns() - start);
}

static double read_roof(int round)
{
    const uint8_t *at = bench.cache + (size_t)round % (CACHE_BYTES / ROOF_BYTES) * ROOF_BYTES;
    int64_t start = clock_thread_ns();
    bench.sink = bench.k->roof->read(at, ROOF_BYTES);
    return (double)ROOF_BYTES / (double)(clock_thread_ns() - start);
}

struct shape {
    int head_dim, per_kv, n_tokens, n_keys; /* n_keys: the last token sees them all */
    int n_shared;                           /* values that are a part of their key; 0: they are apart */
};

static void measure(struct shape s, hearth_kv_type type)
{
    char name[80];
    snprintf(name, sizeof name, "%-4s head %3d x %d, %3d tokens, %5d keys", hearth_kv_type_name(type), s.head_dim,
             s.per_kv, s.n_tokens, s.n_keys);
    if (bench.only && !strstr(name, bench.only))
        return;
    int n_kv_heads = s.n_shared ? 1 : KV_HEADS, value_dim = s.n_shared ? s.n_shared : s.head_dim;
    int n_pages = (s.n_keys + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS, row = n_kv_heads * s.per_kv * s.head_dim;
    size_t half = kv_half_bytes(type, s.head_dim), head_bytes = s.n_shared ? half : 2 * half;
    size_t layer_bytes = (size_t)n_kv_heads * head_bytes;
    int n_layers = min_int(MAX_LAYERS, (int)(CACHE_BYTES / ((size_t)n_pages * layer_bytes)));
    struct attention a = {
        .k = bench.k,
        .kv = { .base = bench.cache, .pages = bench.pages, .page_bytes = (size_t)n_layers * layer_bytes,
                .type = type },
        .layer = { .head_bytes = head_bytes, .values_at = half }, .head_dim = s.head_dim,
        .n_shared = s.n_shared, .n_heads = n_kv_heads * s.per_kv, .n_kv_heads = n_kv_heads, .scale = 0.01f,
        .n_tokens = s.n_tokens,
        .first_pos = s.n_keys - s.n_tokens, .q = bench.q, .q_stride = (size_t)row, .out = bench.out,
        .out_stride = (size_t)row,
    };
    int most = attention_task_tokens(s.per_kv);
    double best = 1e300, f32 = 0, read = 0, heads = s.n_tokens == 1 ? n_kv_heads : 1;
    for (int round = 0; round < bench.rounds; round++) {
        f32 = fmax(f32, f32_roof());
        read = fmax(read, read_roof(round));
        a.layer.at = (size_t)(round % n_layers) * layer_bytes;
        int64_t start = clock_thread_ns();
        for (int h = 0; h < (int)heads; h++)
            for (int t = 0; t < s.n_tokens; t += most)
                attention_task(&a, h, t, min_int(s.n_tokens, t + most), bench.scratch);
        best = fmin(best, (double)(clock_thread_ns() - start));
    }
    double seen = (double)s.n_tokens * (s.n_keys - (s.n_tokens - 1) / 2.0);
    double mac = heads * s.per_kv * (s.head_dim + value_dim) * seen / best;
    double gbs = heads * n_pages * (double)head_bytes / best;
    printf("%s  %9.1f us  %6.1f GMAC/s %5.1f %%  %5.1f GB/s %5.1f %%\n", name, best / 1e3, mac, 100 * mac / f32, gbs,
           100 * gbs / read);
    fflush(stdout);
}

static bool set_up(hearth_error *err)
{
    enum { MOST_PER_KV = 8, MOST_VALUES = 512 * KV_HEADS * MOST_PER_KV * 128, LATENT_HEADS = 16 };
    bench.k = kernels_get(err);
    if (!bench.k)
        return false;
    bench.cache = mem_pages(CACHE_BYTES, NULL);
    bench.scratch = mem_pages(max_size(attention_scratch_bytes(MOST_PER_KV, 128, 0),
                                       attention_scratch_bytes(LATENT_HEADS, 576, 512)), NULL);
    bench.q = mem_pages(sizeof(float) * MOST_VALUES, NULL);
    bench.out = mem_pages(sizeof(float) * MOST_VALUES, NULL);
    if (!bench.cache || !bench.scratch || !bench.q || !bench.out)
        return fail_memory(err, "setting up the benchmark");
    struct rng rng = { 2, 0 };
    for (int i = 0; i < MOST_VALUES; i++)
        bench.q[i] = rng_normal(&rng);
    for (uint32_t i = 0; i < MAX_PAGES; i++)
        bench.pages[i] = i;
    /* Every type reads ordinary numbers: f16 0.5 to 2, bf16 and codes of q8 whatever, its scales the same. */
    for (size_t i = 0; i < CACHE_BYTES; i += 2) {
        bench.cache[i] = (uint8_t)(i * 7 % 251);
        bench.cache[i + 1] = (uint8_t)(0x38 + i * 5 % 7);
    }
    return true;
}

int main(int argc, char **argv)
{
    hearth_error err = { 0 };
    bench.rounds = argc > 1 ? max_int(1, atoi(argv[1])) : 30;
    bench.only = argc > 2 ? argv[2] : NULL;
    if (!set_up(&err)) {
        fprintf(stderr, "bench_attention: %s\n", err.message);
        return 1;
    }
    printf("isa %s; shares of what one thread multiplies (f32) and reads\n", bench.k->isa);
    static const struct shape shapes[] = {
        { 64, 4, 1, 8192 },   { 64, 1, 1, 8192 },   { 128, 4, 1, 8192 }, { 128, 8, 1, 8192 },
        { 64, 4, 8, 512 },    { 64, 4, 512, 512 },  { 64, 4, 512, 8192 }, { 64, 1, 512, 8192 },
        { 128, 4, 512, 512 }, { 128, 4, 512, 8192 }, { 576, 16, 1, 8192, 512 }, { 576, 16, 256, 8192, 512 },
    };
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        for (int type = 0; type < HEARTH_N_KV_TYPES; type++)
            measure(shapes[i], (hearth_kv_type)type);
    return 0;
}
