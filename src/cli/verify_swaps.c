/* verify_swaps.c: tensors of one shape that stand in each other's place.
 *
 * Three ways, from the sure to the costly:
 *
 *   by weights   Row i of gate and of up and column i of down belong to one hidden unit, and training makes all three
 *                large or small together. Between two layers nothing does. So a matrix whose profile of sizes goes with
 *                another layer's partners and not with its own is that layer's. Nothing is computed for this.
 *   by size      Two matrices of one layer (K and V, gate and up, Q and output) have about the same ratio of sizes in
 *                every layer. Where it is upside down the exchange is tried, and counts if the texts are predicted much
 *                better.
 *   by trial     Only when the model predicts the texts badly and nothing else is known of it: exchanges are tried,
 *                first those that make the sizes of a kind run smoothly over the layers, as far as a limit of work
 *                allows. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/interrupt.h"
#include "cli/model_bytes.h"
#include "cli/verify.h"
#include "dtype/dtype.h"

enum { MAX_KINDS = 24, MAX_LAYERS = 1024, SUFFIX_BYTES = 48, NAME_BYTES = 96 };
enum { SAMPLE_VALUES = 2 << 20, BLOCK_MAX = 256, MOST_NEIGHBOURS = 4 };

/* What a tensor of a layer is: "attn_q.weight". */
struct kind {
    char suffix[SUFFIX_BYTES];
    const struct gguf_tensor **at; /* [n_layers], NULL where a layer has none */
    double *size;                  /* [n_layers] log of the root mean square */
};

struct layers {
    struct verify *v;
    struct model_bytes file;
    struct arena arena;
    struct kind kinds[MAX_KINDS];
    int n_kinds, n_layers;
    int n_tried, n_possible;
};

struct pair {
    const struct gguf_tensor *a, *b;
    double promise; /* how much better sizes look after it */
};

static void tensor_name(const struct gguf_tensor *t, char out[NAME_BYTES])
{
    snprintf(out, NAME_BYTES, STR_FMT, STR_ARG(t->name));
}

/* ---- reading ---- */

/* "blk.12.attn_q.weight": 12 and what follows the next full stop. */
static bool split_name(struct str name, int *layer, struct str *suffix)
{
    size_t at = 4;
    if (!str_starts(name, STR("blk.")))
        return false;
    for (*layer = 0; at < name.len && name.ptr[at] >= '0' && name.ptr[at] <= '9' && *layer < MAX_LAYERS; at++)
        *layer = 10 * *layer + name.ptr[at] - '0';
    if (at == 4 || at + 1 >= name.len || name.ptr[at] != '.' || *layer >= MAX_LAYERS)
        return false;
    *suffix = (struct str){ name.ptr + at + 1, name.len - at - 1 };
    return suffix->len < SUFFIX_BYTES;
}

static struct kind *kind_of(struct layers *l, struct str suffix)
{
    for (int k = 0; k < l->n_kinds; k++)
        if (str_eq_z(suffix, l->kinds[k].suffix))
            return &l->kinds[k];
    if (l->n_kinds == MAX_KINDS)
        return NULL;
    struct kind *k = &l->kinds[l->n_kinds++];
    memcpy(k->suffix, suffix.ptr, suffix.len);
    k->at = arena_array(&l->arena, const struct gguf_tensor *, MAX_LAYERS);
    k->size = arena_array(&l->arena, double, MAX_LAYERS);
    return k->at && k->size ? k : NULL;
}

static const struct kind *find_kind(const struct layers *l, const char *suffix)
{
    for (int k = 0; k < l->n_kinds; k++)
        if (strcmp(l->kinds[k].suffix, suffix) == 0)
            return &l->kinds[k];
    return NULL;
}

/* One row to floats; its type is known. */
static void read_row(const struct gguf_tensor *t, const struct dtype_info *d, uint64_t row, float *out)
{
    uint64_t n_blocks = t->dim[0] / (uint64_t)d->n_values;
    const uint8_t *block = t->data + row * n_blocks * (uint64_t)d->block_bytes;
    for (uint64_t i = 0; i < n_blocks; i++, block += d->block_bytes)
        d->to_f32(out + i * (uint64_t)d->n_values, block);
}

/* Sums of squares of rows 0, step, 2 step ... into by_row, and of all columns over those rows into by_column (either
 * may be NULL). The mean square of what was read. */
static double measure(const struct gguf_tensor *t, uint64_t step, double *by_row, double *by_column, float *row)
{
    enum dtype type;
    double all = 0, n = 0;
    if (!dtype_from_gguf(t->type, &type))
        return 0;
    for (uint64_t r = 0; r < t->dim[1]; r += step) {
        double sum = 0;
        read_row(t, &dtype_table[type], r, row);
        for (uint64_t c = 0; c < t->dim[0]; c++) {
            double square = (double)row[c] * (double)row[c];
            sum += square;
            if (by_column)
                by_column[c] += square;
        }
        if (by_row)
            by_row[r / step] = sum;
        all += sum;
        n += (double)t->dim[0];
    }
    return n > 0 ? all / n : 0;
}

static uint64_t sample_step(const struct gguf_tensor *t, uint64_t values)
{
    return 1 + t->dim[0] * t->dim[1] / values;
}

static bool measure_sizes(struct layers *l, float *row, hearth_error *err)
{
    for (int k = 0; k < l->n_kinds; k++)
        for (int i = 0; i < l->n_layers; i++) {
            const struct gguf_tensor *t = l->kinds[k].at[i];
            l->kinds[k].size[i] = t ? log(measure(t, sample_step(t, SAMPLE_VALUES / 16), NULL, NULL, row) + 1e-30) / 2
                                    : 0;
            if (interrupt_pending())
                return fail(err, HEARTH_ERR_CANCELLED, "interrupted; nothing is reported of a part of the checks");
        }
    return true;
}

static bool list_layers(struct layers *l, hearth_error *err)
{
    for (uint32_t i = 0; i < l->file.gguf.n_tensors; i++) {
        const struct gguf_tensor *t = &l->file.gguf.tensors[i];
        struct str suffix;
        int layer;
        if (!split_name(t->name, &layer, &suffix) || t->dim[2] != 1 || t->dim[3] != 1)
            continue;
        struct kind *k = kind_of(l, suffix);
        if (!k && l->n_kinds == MAX_KINDS)
            continue;
        if (!k)
            return fail_memory(err, "the list of tensors");
        k->at[layer] = t;
        l->n_layers = max_int(l->n_layers, layer + 1);
    }
    return true;
}

/* ---- by weights ---- */

enum ffn { GATE, UP, DOWN, N_FFN };
static const char *const ffn_suffix[N_FFN] = { "ffn_gate.weight", "ffn_up.weight", "ffn_down.weight" };

/* Correlation of two profiles, without its sign: training makes either. */
static double likeness(const float *a, const float *b, size_t n)
{
    double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0, m = (double)n;
    for (size_t i = 0; i < n; i++) {
        double x = (double)a[i], y = (double)b[i];
        sa += x;
        sb += y;
        saa += x * x;
        sbb += y * y;
        sab += x * y;
    }
    double va = saa / m - sa / m * sa / m, vb = sbb / m - sb / m * sb / m;
    return va > 0 && vb > 0 ? fabs(sab / m - sa / m * sb / m) / sqrt(va * vb) : 0;
}

struct profiles {
    size_t n, step;      /* hidden units that are looked at, and from one to the next */
    float *of[N_FFN];    /* [n_layers][n] log of the size of a hidden unit in it */
};

static float *profile(const struct profiles *p, int which, int layer) { return p->of[which] + (size_t)layer * p->n; }

/* How well the matrix at (which, from) goes with the two partners of layer `to`. */
static double fits(const struct profiles *p, int which, int from, int to)
{
    double sum = 0;
    for (int other = 0; other < N_FFN; other++)
        if (other != which)
            sum += likeness(profile(p, which, from), profile(p, other, to), p->n) / 2;
    return sum;
}

static bool make_profiles(struct layers *l, const struct kind *const kind[N_FFN], struct profiles *p, float *row,
                          hearth_error *err)
{
    const struct gguf_tensor *up = kind[UP]->at[0];
    p->step = sample_step(up, SAMPLE_VALUES);
    p->n = ((size_t)up->dim[1] + p->step - 1) / p->step;
    double *sums = mem_alloc((size_t)(up->dim[1]) * sizeof *sums);
    bool ok = sums != NULL;
    for (int w = 0; ok && w < N_FFN; w++) {
        p->of[w] = arena_array(&l->arena, float, (size_t)l->n_layers * p->n);
        ok = p->of[w] != NULL;
    }
    for (int i = 0; ok && i < l->n_layers; i++)
        for (int w = 0; w < N_FFN; w++) {
            const struct gguf_tensor *t = kind[w]->at[i];
            memset(sums, 0, (size_t)up->dim[1] * sizeof *sums);
            if (w == DOWN)
                measure(t, sample_step(t, SAMPLE_VALUES), NULL, sums, row);
            else
                measure(t, p->step, sums, NULL, row);
            for (size_t u = 0; u < p->n; u++)
                profile(p, w, i)[u] = (float)log(sums[w == DOWN ? u * p->step : u] + 1e-30);
            if (interrupt_pending()) {
                mem_free(sums);
                return fail(err, HEARTH_ERR_CANCELLED, "interrupted; nothing is reported of a part of the checks");
            }
        }
    mem_free(sums);
    return ok || fail_memory(err, "the sizes of hidden units");
}

/* All layers have the three, in one shape. */
static bool has_ffn(const struct layers *l, const struct kind *const kind[N_FFN])
{
    for (int i = 0; i < l->n_layers; i++) {
        const struct gguf_tensor *g = kind[GATE]->at[i], *u = kind[UP]->at[i], *d = kind[DOWN]->at[i];
        const struct gguf_tensor *first = kind[UP]->at[0];
        if (!g || !u || !d || !first || memcmp(g->dim, first->dim, sizeof g->dim) != 0
            || memcmp(u->dim, first->dim, sizeof u->dim) != 0 || d->dim[0] != first->dim[1]
            || d->dim[1] != first->dim[0])
            return false;
    }
    return l->n_layers > 1;
}

/* Seen with healthy files: 0.7 to 0.95 with its own partners (0.1 at the least), at most 0.15 with others. */
static const double strange = 0.25, familiar = 0.45;

static void compare_profiles(struct layers *l, const struct kind *const kind[N_FFN], const struct profiles *p)
{
    for (int w = 0; w < N_FFN; w++)
        for (int a = 0; a < l->n_layers; a++) {
            double own_a = fits(p, w, a, a);
            for (int b = a + 1; own_a < strange && b < l->n_layers; b++) {
                double own_b = fits(p, w, b, b), there = fits(p, w, a, b), back = fits(p, w, b, a);
                if (own_b >= strange || fmax(there, back) < familiar || fmin(there, back) < fmin(own_a, own_b))
                    continue;
                char name_b[NAME_BYTES];
                tensor_name(kind[w]->at[b], name_b);
                verify_say(l->v, VERIFY_PREDICTION, HEARTH_FINDING_PROBLEM, "swapped-tensors", kind[w]->at[a]->name,
                           "it and %s stand in each other's place: the sizes of their hidden units go with the other "
                           "layer's matrices (%.2f and %.2f, of 1) and not with their own (%.2f and %.2f)",
                           name_b, there, back, own_a, own_b);
            }
        }
}

static bool by_weights(struct layers *l, float *row, hearth_error *err)
{
    const struct kind *kind[N_FFN];
    struct profiles p = { 0 };
    for (int w = 0; w < N_FFN; w++)
        kind[w] = find_kind(l, ffn_suffix[w]);
    if (!kind[GATE] || !kind[UP] || !kind[DOWN] || !has_ffn(l, kind))
        return true;
    if (!make_profiles(l, kind, &p, row, err))
        return false;
    compare_profiles(l, kind, &p);
    return true;
}

/* ---- trying ---- */

/* In nats a token, and in standard errors of it. Seen in healthy files: 0.6 at the most, of pairs that are not tried
 * there. */
static const double sure_gain = 0.5, sure_errors = 5;

/* How much better the texts are predicted with the two exchanged; 0 when it is given up. */
static bool try_pair(struct layers *l, const struct pair *pair, const struct verify_score *own, int most_tokens,
                     double *gain, double *error, hearth_error *err)
{
    char a[NAME_BYTES], b[NAME_BYTES];
    struct verify_score s;
    tensor_name(pair->a, a);
    tensor_name(pair->b, b);
    hearth_override o = { HEARTH_OVERRIDE_SWAP, a, b, 0 };
    struct verify_run run = { &o, 1, 0, VERIFY_N_PROSE, most_tokens, own, sure_gain };
    hearth_error problem = { 0 };
    *gain = *error = 0;
    l->n_tried++;
    if (!verify_score(l->v, &run, &s, &problem)) {
        if (problem.status == HEARTH_ERR_MODEL) /* worse than it was */
            return true;
        if (err)
            *err = problem;
        return false;
    }
    if (s.n_tokens == own->n_tokens)
        *gain = verify_gain(own, &s, error);
    return true;
}

/* The best of those that were tried, and the one after it. A broken model gains by exchanges that are no mistake, too:
 * the second is said where it is nearly as good. */
struct best {
    struct pair pair, second;
    double gain, second_gain; /* 0: none */
};
static const double nearly = 0.6;

static bool try_pairs(struct layers *l, const struct pair *pairs, int n, const struct verify_score *own,
                      int most_tokens, struct best *best, hearth_error *err)
{
    for (int i = 0; i < n; i++) {
        double gain, error;
        if (!try_pair(l, &pairs[i], own, most_tokens, &gain, &error, err))
            return false;
        if (gain < sure_gain || gain < sure_errors * error || gain <= best->second_gain)
            continue;
        bool first = gain > best->gain;
        best->second = first ? best->pair : pairs[i];
        best->second_gain = first ? best->gain : gain;
        best->pair = first ? pairs[i] : best->pair;
        best->gain = first ? gain : best->gain;
        progress_show(&l->v->progress, (uint64_t)i + 1, (uint64_t)n, "");
    }
    return true;
}

static void say_best(struct layers *l, const struct best *best, const struct verify_score *own)
{
    char b[NAME_BYTES], c[NAME_BYTES], d[NAME_BYTES], or_those[3 * NAME_BYTES] = "";
    if (!(best->gain > 0))
        return;
    tensor_name(best->pair.b, b);
    if (best->second_gain > nearly * best->gain) {
        tensor_name(best->second.a, c);
        tensor_name(best->second.b, d);
        snprintf(or_those, sizeof or_those, "; or it is %s and %s, which gain %.2f", c, d, best->second_gain);
    }
    verify_say(l->v, VERIFY_PREDICTION, HEARTH_FINDING_PROBLEM, "swapped-tensors", best->pair.a->name,
               "it and %s stand in each other's place: with the two exchanged it predicts the texts better by %.2f "
               "nats a token, of %.2f%s",
               b, best->gain, own->sum / (double)own->n_tokens, or_those);
}

/* ---- by size ---- */

static const struct {
    const char *a, *b;
} neighbours[] = { { "attn_k.weight", "attn_v.weight" },
                   { "ffn_gate.weight", "ffn_up.weight" },
                   { "attn_q.weight", "attn_output.weight" },
                   { "attn_norm.weight", "ffn_norm.weight" } };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* How much nearer to the usual ratio that of layer i is when it is turned over; at most 0: not at all. */
static double upside_down(const double *ratio, double usual, int i)
{
    return fabs(ratio[i]) > 0.02 ? fabs(ratio[i] - usual) - fabs(-ratio[i] - usual) : 0;
}

/* The ratios of two kinds in all layers; false where a layer lacks one, or their shapes differ. */
static bool ratios_of(const struct layers *l, const struct kind *a, const struct kind *b, double *ratio)
{
    for (int i = 0; i < l->n_layers; i++) {
        if (!a->at[i] || !b->at[i] || memcmp(a->at[i]->dim, b->at[i]->dim, sizeof a->at[i]->dim) != 0)
            return false;
        ratio[i] = a->size[i] - b->size[i];
    }
    return l->n_layers > 2;
}

static int by_promise(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    return x->promise > y->promise ? -1 : x->promise < y->promise;
}

/* The layers where they are the most upside down, a few at the most. */
static bool try_neighbours(struct layers *l, const struct kind *a, const struct kind *b, const struct verify_score *own,
                           int most_tokens, struct best *best, hearth_error *err)
{
    double ratio[MAX_LAYERS], sorted[MAX_LAYERS];
    struct pair pairs[MAX_LAYERS];
    int n = 0;
    if (!ratios_of(l, a, b, ratio))
        return true;
    memcpy(sorted, ratio, (size_t)l->n_layers * sizeof *sorted);
    qsort(sorted, (size_t)l->n_layers, sizeof *sorted, by_value);
    for (int i = 0; i < l->n_layers; i++) {
        double promise = upside_down(ratio, sorted[l->n_layers / 2], i);
        if (promise > 0)
            pairs[n++] = (struct pair){ a->at[i], b->at[i], promise };
    }
    qsort(pairs, (size_t)n, sizeof *pairs, by_promise);
    return try_pairs(l, pairs, min_int(n, MOST_NEIGHBOURS), own, most_tokens, best, err);
}

static bool by_size(struct layers *l, const struct verify_score *own, int most_tokens, struct best *best,
                    hearth_error *err)
{
    for (size_t n = 0; n < ARRAY_LEN(neighbours); n++) {
        const struct kind *a = find_kind(l, neighbours[n].a), *b = find_kind(l, neighbours[n].b);
        if (a && b && !try_neighbours(l, a, b, own, most_tokens, best, err))
            return false;
    }
    return true;
}

/* ---- by trial ---- */

/* Bits a byte that give rise to it; seen in healthy files: 1.65, and 2.04 with weights in three values. */
static const double bad_bits = 1.9;
/* Multiply-adds that may be spent on it, and the exchanges that are tried whatever they cost. */
static const double trial_macs = 2e12;
enum { LEAST_TRIALS = 16, MOST_PAIRS = 1 << 16 };

static double roughness(const double *size, int n)
{
    double sum = 0;
    for (int i = 1; i < n; i++)
        sum += (size[i] - size[i - 1]) * (size[i] - size[i - 1]);
    return sum;
}

/* Of the sizes of one or two kinds, when those of two tensors change places. */
static double promise_of(struct kind *ka, int a, struct kind *kb, int b, int n)
{
    double before = roughness(ka->size, n) + (ka == kb ? 0 : roughness(kb->size, n));
    double x = ka->size[a];
    ka->size[a] = kb->size[b];
    kb->size[b] = x;
    double after = roughness(ka->size, n) + (ka == kb ? 0 : roughness(kb->size, n));
    x = ka->size[a];
    ka->size[a] = kb->size[b];
    kb->size[b] = x;
    return before - after;
}

/* Those of one shape in two layers, and those of one layer. */
static int list_pairs(struct layers *l, struct pair *pairs)
{
    int n = 0;
    for (int k = 0; k < l->n_kinds; k++)
        for (int m = k; m < l->n_kinds; m++)
            for (int a = 0; a < l->n_layers; a++)
                for (int b = k == m ? a + 1 : a; b < (k == m ? l->n_layers : a + 1); b++) {
                    const struct gguf_tensor *x = l->kinds[k].at[a], *y = l->kinds[m].at[b];
                    if (x && y && n < MOST_PAIRS && memcmp(x->dim, y->dim, sizeof x->dim) == 0)
                        pairs[n++] = (struct pair){ x, y, promise_of(&l->kinds[k], a, &l->kinds[m], b, l->n_layers) };
                }
    qsort(pairs, (size_t)n, sizeof *pairs, by_promise);
    return n;
}

static bool by_trial(struct layers *l, const struct verify_score *own, int most_tokens, struct best *best,
                     hearth_error *err)
{
    hearth_cost cost = { 0 };
    struct pair *pairs = mem_alloc(MOST_PAIRS * sizeof *pairs);
    if (!pairs)
        return fail_memory(err, "the list of pairs");
    hearth_file_cost(l->v->file, HEARTH_KV_f16, &cost);
    double each = (double)(cost.layer_macs + cost.output_macs) * most_tokens + 1;
    l->n_possible = list_pairs(l, pairs);
    int n = (int)fmin(l->n_possible, fmax(LEAST_TRIALS, trial_macs / each));
    progress_doing(&l->v->progress, "exchanging tensors");
    bool ok = try_pairs(l, pairs, n, own, most_tokens, best, err);
    mem_free(pairs);
    return ok;
}

/* ---- all of it ---- */

static bool look(struct layers *l, const struct verify_score *own, int most_tokens, hearth_error *err)
{
    size_t longest = 0;
    struct best best = { .gain = 0 };
    if (!list_layers(l, err))
        return false;
    for (int k = 0; k < l->n_kinds; k++)
        for (int i = 0; i < l->n_layers; i++)
            longest = max_size(longest, l->kinds[k].at[i] ? (size_t)l->kinds[k].at[i]->dim[0] : 0);
    float *row = mem_alloc((longest + BLOCK_MAX) * sizeof *row);
    bool ok = row ? own ? measure_sizes(l, row, err) : by_weights(l, row, err) : fail_memory(err, "a row");
    mem_free(row);
    if (!ok || !own)
        return ok;
    ok = by_size(l, own, most_tokens, &best, err);
    if (ok && !(best.gain > 0) && verify_bits_per_byte(own) > bad_bits)
        ok = by_trial(l, own, most_tokens, &best, err);
    if (ok)
        say_best(l, &best, own);
    return ok;
}

bool verify_swaps(struct verify *v, const struct verify_score *own, int most_tokens, hearth_error *err)
{
    struct layers l = { .v = v };
    arena_init(&l.arena, (size_t)1 << 30);
    bool ok = model_bytes_open(&l.file, &v->source, err) && look(&l, own, most_tokens, err);
    if (ok && l.n_possible > l.n_tried)
        verify_say(v, VERIFY_PREDICTION, HEARTH_FINDING_NOTE, "swaps-tried", STR(""),
                   "of %d exchanges of two tensors %d were tried", l.n_possible, l.n_tried);
    model_bytes_close(&l.file);
    arena_free(&l.arena);
    return ok;
}
