/* fieldtest_compare.c: what two sides make of one prompt: is it the same, as far as it can be? Pure. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/fieldtest.h"

const double fieldtest_likely = -4.605170185988091; /* 1 % */

/* "F32", "F16", "BF16" are numbers as they are. */
static bool is_plain(const char *type) { return type[0] == 'F' || strncmp(type, "BF", 2) == 0; }

/* More than hearth and llama.cpp differ by where both are right: docs/fieldtests/README.md has the figures. */
struct fieldtest_limits fieldtest_limits_for(const char *types)
{
    bool quantized = false;
    for (const char *at = types; *at;) {
        at += strspn(at, ", ");
        quantized |= *at && !is_plain(at);
        at += strcspn(at, ",");
    }
    return quantized ? (struct fieldtest_limits){ .quantized = true, .median = 0.1, .largest = 1.5, .cosine = 5e-3 }
                     : (struct fieldtest_limits){ .median = 0.01, .largest = 0.1, .cosine = 5e-4 };
}

/* ---- differences ---- */

void fieldtest_deltas_add(struct fieldtest_deltas *d, double delta)
{
    if (d->n == d->room) {
        size_t room = d->room ? 2 * d->room : 4096;
        float *more = mem_resize(d->all, room * sizeof *more);
        d->failed |= !more;
        if (!more)
            return;
        d->all = more;
        d->room = room;
    }
    d->all[d->n++] = (float)delta;
    d->largest = fmax(d->largest, delta);
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

double fieldtest_deltas_median(struct fieldtest_deltas *d)
{
    if (d->n == 0)
        return 0;
    qsort(d->all, d->n, sizeof *d->all, by_size);
    return ((double)d->all[(d->n - 1) / 2] + (double)d->all[d->n / 2]) / 2;
}

/* ---- one place ---- */

static const hearth_alternative *find(const struct fieldtest_place *p, int32_t id)
{
    for (int i = 0; i < p->n_top; i++)
        if (p->top[i].id == id)
            return &p->top[i];
    return NULL;
}

static float least(const struct fieldtest_place *p)
{
    float x = p->top[0].logprob;
    for (int i = 1; i < p->n_top; i++)
        x = fminf(x, p->top[i].logprob);
    return x;
}

/* Below it a probability is none of a float any more, and llama-server says the least number that there is. */
static const float least_told = -80;

static void note_worst(struct fieldtest_apart *a, double delta, int place, int32_t id, float here, float there,
                       bool at_least)
{
    if (delta <= a->worst)
        return;
    *a = (struct fieldtest_apart){ a->parts_at, a->is_tie, delta, place, id, here, there, at_least };
}

/* Of the tokens that `one` names, all that `other` names too, and the likely ones that it does not. */
static void compare_tops(struct fieldtest_apart *a, int at, const struct fieldtest_place *one,
                         const struct fieldtest_place *other, bool one_is_here, struct fieldtest_deltas *deltas)
{
    for (int i = 0; i < one->n_top; i++) {
        float mine = one->top[i].logprob, theirs;
        const hearth_alternative *same = find(other, one->top[i].id);
        bool likely = mine >= (float)fieldtest_likely;
        theirs = same ? same->logprob : least(other);
        if (same && one_is_here && mine > least_told && theirs > least_told)
            fieldtest_deltas_add(deltas, fabs((double)mine - (double)theirs));
        double delta = same ? fabs((double)mine - (double)theirs) : (double)mine - (double)theirs;
        if (likely)
            note_worst(a, delta, at, one->top[i].id, one_is_here ? mine : theirs, one_is_here ? theirs : mine, !same);
    }
}

/* Its own token is likelier than the other's by no more than `limit`, as far as it says. */
static bool holds_both(const struct fieldtest_place *p, int32_t other, double limit)
{
    const hearth_alternative *own = find(p, p->id), *theirs = find(p, other);
    return own && theirs && (double)own->logprob - (double)theirs->logprob <= limit;
}

/* ---- all of it ---- */

/* -1: they are the same. */
static int parting(const struct fieldtest_answer *here, const struct fieldtest_answer *there,
                   bool (*is_special)(void *arg, int32_t id), void *arg)
{
    size_t n = min_size(here->n, there->n);
    for (size_t i = 0; i < n; i++)
        if (here->places[i].id != there->places[i].id)
            return (int)i;
    /* Here goes on behind an end; there the end itself is the last token, or is left out. */
    bool at_end = there->ended && (n == here->n || (n > 0 && is_special(arg, there->places[n - 1].id))
                                   || is_special(arg, here->places[n].id));
    return at_end || here->n == there->n ? -1 : (int)n;
}

void fieldtest_compare(struct fieldtest_apart *out, const struct fieldtest_answer *here,
                       const struct fieldtest_answer *there, const struct fieldtest_limits *limits,
                       bool (*is_special)(void *arg, int32_t id), void *arg, struct fieldtest_deltas *deltas)
{
    size_t n = min_size(here->n, there->n);
    *out = (struct fieldtest_apart){ .parts_at = parting(here, there, is_special, arg) };
    if (out->parts_at >= 0)
        n = min_size(n, (size_t)out->parts_at + 1); /* the text before is the same there, too */
    for (size_t i = 0; i < n; i++) {
        const struct fieldtest_place *a = &here->places[i], *b = &there->places[i];
        if (a->n_top == 0 || b->n_top == 0)
            continue;
        compare_tops(out, (int)i, a, b, true, deltas);
        compare_tops(out, (int)i, b, a, false, deltas);
    }
    deltas->largest_likely = fmax(deltas->largest_likely, out->worst);
    if (out->parts_at < 0 || (size_t)out->parts_at >= min_size(here->n, there->n))
        return;
    const struct fieldtest_place *a = &here->places[out->parts_at], *b = &there->places[out->parts_at];
    out->is_tie = holds_both(a, b->id, limits->largest) && (b->n_top == 0 || holds_both(b, a->id, limits->largest));
}

double fieldtest_distance(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return aa > 0 && bb > 0 ? 1 - ab / (sqrt(aa) * sqrt(bb)) : 2;
}
