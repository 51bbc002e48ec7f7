/* select.c: candidates by threshold, not by sorting the vocabulary.
 *
 * The k-th largest of the maxima of blocks of logits is a value that at least k logits reach, so the k best are among
 * the logits that are not below it, and those lie in the blocks whose maximum is not below it. One pass over the logits
 * finds the maxima, a second one looks at the few blocks that can hold survivors. A stage that keeps what is not below
 * a value needs the second step alone. */
#include <math.h>
#include <string.h>

#include "dtype/half.h"
#include "infer/sampler.h"

/* ---- order ---- */

/* True when a comes before b: higher logit, then lower id. */
static bool before(struct candidate a, struct candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/* A heap of the best n with the worst of them on top. */
static void sift_down(struct candidate *heap, int n, int i)
{
    for (;;) {
        int worst = i, left = 2 * i + 1;
        for (int child = left; child < n && child <= left + 1; child++)
            if (before(heap[worst], heap[child]))
                worst = child;
        if (worst == i)
            return;
        struct candidate t = heap[i];
        heap[i] = heap[worst];
        heap[worst] = t;
        i = worst;
    }
}

static void heap_sort(struct candidate *c, int n, bool is_heap)
{
    for (int i = n / 2 - 1; i >= 0 && !is_heap; i--)
        sift_down(c, n, i);
    for (int end = n - 1; end > 0; end--) { /* worst to the back */
        struct candidate t = c[0];
        c[0] = c[end];
        c[end] = t;
        sift_down(c, end, 0);
    }
}

/* Ascending keys are descending logits; both zeros have one key. */
static uint32_t key_of(float logit)
{
    uint32_t bits = bits_of_f32(logit + 0.0f);
    return bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
}

/* Candidates in ascending order of ids: least significant digit first is stable, so ties stay so. */
static void radix_sort(struct candidate *c, struct candidate *spare, int n)
{
    enum { BITS = 11, DIGITS = 1 << BITS, PASSES = 3 };
    int32_t starts[PASSES][DIGITS];
    memset(starts, 0, sizeof starts);
    for (int i = 0; i < n; i++)
        for (int p = 0; p < PASSES; p++)
            starts[p][key_of(c[i].logit) >> (BITS * p) & (DIGITS - 1)]++;
    for (int p = 0; p < PASSES; p++) {
        int32_t sum = 0;
        for (int d = 0; d < DIGITS; d++) {
            int32_t count = starts[p][d];
            starts[p][d] = sum;
            sum += count;
        }
        struct candidate *from = p & 1 ? spare : c, *to = p & 1 ? c : spare;
        for (int i = 0; i < n; i++)
            to[starts[p][key_of(from[i].logit) >> (BITS * p) & (DIGITS - 1)]++] = from[i];
    }
    memcpy(c, spare, (size_t)n * sizeof *c); /* an odd number of passes */
}

/* What collect() gave. */
static void sort_collected(struct candidate *c, struct candidate *spare, int n)
{
    if (n > 512)
        radix_sort(c, spare, n);
    else
        heap_sort(c, n, false);
}

/* The best n of the `have` that collect() gave, sorted, to the front. */
static void best_of_collected(struct candidate *c, struct candidate *spare, int n, int have)
{
    if (n >= have || n > 512) {
        sort_collected(c, spare, have);
        return;
    }
    for (int i = n / 2 - 1; i >= 0; i--)
        sift_down(c, n, i);
    for (int i = n; i < have; i++) {
        if (!(c[i].logit > c[0].logit)) /* an equal one has a higher id: stays out */
            continue;
        c[0] = c[i];
        sift_down(c, n, 0);
    }
    heap_sort(c, n, true);
}

void choice_sort(struct choice *ch) { heap_sort(ch->c, ch->n, false); }

/* ---- thresholds ---- */

static int n_blocks(int n_vocab) { return (n_vocab + KERNEL_MAX_BLOCK - 1) / KERNEL_MAX_BLOCK; }

/* The n-th largest of the maxima, n <= their number: a heap of n with the smallest on top. */
static float nth_block(const float *max, int n_max, float *heap, int n)
{
    int have = 0;
    for (int b = 0; b < n_max; b++) {
        int i;
        if (have < n) { /* up from the end */
            for (i = have++; i > 0 && max[b] < heap[(i - 1) / 2]; i = (i - 1) / 2)
                heap[i] = heap[(i - 1) / 2];
        } else if (max[b] > heap[0]) { /* down from the top */
            for (i = 0; 2 * i + 1 < n;) {
                int child = 2 * i + 1;
                child += child + 1 < n && heap[child + 1] < heap[child];
                if (!(heap[child] < max[b]))
                    break;
                heap[i] = heap[child];
                i = child;
            }
        } else {
            continue;
        }
        heap[i] = max[b];
    }
    return heap[0];
}

static void find_blocks(const struct kernels *k, struct sampler_room *room, const float *logits, int n_vocab)
{
    k->block_max(room->blocks, logits, n_vocab);
}

/* Logits not below least, in ascending order of ids. Returns how many. */
static int collect(const struct kernels *k, struct sampler_room *room, const float *logits, int n_vocab, float least)
{
    int n = 0, end = n_blocks(n_vocab);
    for (int b = 0; b < end; b++) {
        int first = b;
        while (b < end && room->blocks[b] >= least)
            b++;
        if (b == first)
            continue;
        int at = first * KERNEL_MAX_BLOCK, to = min_int(b * KERNEL_MAX_BLOCK, n_vocab);
        n += k->collect(room->candidates + n, logits + at, to - at, least, at);
    }
    return n;
}

/* room->blocks must be known. */
static int collect_best(const struct kernels *k, struct sampler_room *room, const float *logits, int n_vocab, int n)
{
    int n_max = n_blocks(n_vocab);
    float least = n <= n_max ? nth_block(room->blocks, n_max, room->blocks + n_max, n) : -INFINITY;
    int have = collect(k, room, logits, n_vocab, least);
    best_of_collected(room->candidates, room->spare, n, have);
    return min_int(n, have);
}

int candidates_best(const struct kernels *k, struct sampler_room *room, const float *logits, int n_vocab, int n)
{
    if (n <= 0)
        return 0;
    find_blocks(k, room, logits, n_vocab);
    return collect_best(k, room, logits, n_vocab, n);
}

/* ---- of a choice ---- */

static void know_blocks(struct choice *ch)
{
    if (!ch->blocks_known)
        find_blocks(ch->k, ch->room, ch->logits, ch->n_vocab);
    ch->blocks_known = true;
}

/* n: candidates gathered into the room. */
static void gathered(struct choice *ch, int n)
{
    ch->all = false;
    ch->c = ch->room->candidates;
    ch->n = n;
    if (n == 0) { /* nothing but NaNs */
        ch->c[0] = (struct candidate){ 0, -INFINITY };
        ch->n = 1;
    }
}

void choice_gather(struct choice *ch)
{
    if (!ch->all)
        return;
    int n = ch->k->collect(ch->room->candidates, ch->logits, ch->n_vocab, -INFINITY, 0);
    sort_collected(ch->room->candidates, ch->room->spare, n);
    gathered(ch, n);
}

void choice_keep_best(struct choice *ch, int n)
{
    if (!ch->all) {
        ch->n = min_int(ch->n, n);
        return;
    }
    know_blocks(ch);
    gathered(ch, collect_best(ch->k, ch->room, ch->logits, ch->n_vocab, min_int(n, ch->n_vocab)));
}

/* The smallest float that is not below x. */
static float float_from(double x)
{
    float f = (float)x;
    if (!((double)f < x))
        return f;
    uint32_t bits = bits_of_f32(f + 0.0f);
    return f32_of_bits(bits & 0x80000000u ? bits - 1 : bits + 1);
}

void choice_keep_from(struct choice *ch, double least)
{
    if (ch->all) {
        know_blocks(ch);
        float from = float_from(least), best = choice_best(ch);
        int n = collect(ch->k, ch->room, ch->logits, ch->n_vocab, from < best ? from : best);
        sort_collected(ch->room->candidates, ch->room->spare, n);
        gathered(ch, n);
        return;
    }
    int kept = 1;
    while (kept < ch->n && (double)ch->c[kept].logit >= least)
        kept++;
    ch->n = kept;
}

float choice_best(struct choice *ch)
{
    if (!ch->all)
        return ch->c[0].logit;
    know_blocks(ch);
    float best = -INFINITY;
    for (int b = 0; b < n_blocks(ch->n_vocab); b++)
        best = ch->room->blocks[b] > best ? ch->room->blocks[b] : best;
    return best;
}
