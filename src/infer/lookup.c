#include "infer/lookup.h"

#include <string.h>

enum {
    MOST_PLACES = 1 << 16, /* the table of hashes: 256 KB, whatever the context */
    MOST_STEPS = 64,       /* places of a chain that are looked at */
    ONE = 4096,            /* a chance of 1 */
    FAST = 4, SLOW = 16,   /* a token moves the chance by 1/4 of what is missing at first, later by 1/16 */
    IDLE_MOST = 64,        /* places without a draft before one token is tried */
    MOST_COLUMNS = 17,
};

/* A step by its columns, in 1/64 of a step of one column: what bench_speculation measures. From memory: llama-3.2-1b in
 * Q4_K_M on two threads, rounded up. From a cache: the dearer of a 4M model in Q8_0 and one of 0.26M in F32, about, on
 * one thread. */
static const uint16_t step_cost[][1 + MOST_COLUMNS] = {
    [LOOKUP_FROM_CACHE] = { 0, 64, 92, 116, 126, 154, 168, 186, 194, 212, 228, 240, 250, 260, 268, 276, 284, 290 },
    [LOOKUP_FROM_MEMORY] = { 0, 64, 66, 68, 78, 79, 80, 82, 84, 88, 92, 97, 102, 106, 107, 107, 107, 108 },
};

static const int class_from[LOOKUP_CLASSES] = { LOOKUP_MATCH_LEAST, 3, 4, 8, 16, LOOKUP_MATCH_MOST };
/* Before anything is known: the longer the match, the likelier. */
static const int first_chance[LOOKUP_CLASSES] = { ONE / 4,     ONE * 3 / 8, ONE / 2,
                                                  ONE * 3 / 4, ONE * 7 / 8, ONE * 15 / 16 };

static int table_size(int n_ctx)
{
    int n = 64;
    while (n < n_ctx && n < MOST_PLACES)
        n *= 2;
    return n;
}

size_t lookup_bytes(int n_ctx) { return ((size_t)table_size(n_ctx) + (size_t)n_ctx) * sizeof(int32_t); }

void lookup_layout(struct lookup *l, void *memory, int n_ctx)
{
    *l = (struct lookup){ .last = memory, .n_last = table_size(n_ctx) };
    l->before = l->last + l->n_last;
}

void lookup_begin(struct lookup *l, int fixed, enum lookup_cost cost)
{
    memset(l->last, 0, (size_t)l->n_last * sizeof *l->last);
    l->n_indexed = 0;
    l->fixed = fixed;
    l->cost = cost;
    for (int i = 0; i < LOOKUP_CLASSES; i++) {
        l->chance[i] = first_chance[i];
        l->n_seen[i] = l->n_idle[i] = 0;
    }
}

/* Of the two tokens before place `at`. Multiplication modulo 2^32 is the mixing. */
static WRAPS int32_t *chain(const struct lookup *l, const int32_t *history, int at)
{
    uint32_t a = (uint32_t)history[at - 2], b = (uint32_t)history[at - 1];
    uint32_t h = (a * 0x9e3779b1u ^ b) * 0x85ebca6bu;
    return &l->last[(h ^ h >> 15) & (uint32_t)(l->n_last - 1)];
}

/* Every pair that a known token follows. */
static void catch_up(struct lookup *l, const int32_t *history, int n)
{
    for (int at = max_int(l->n_indexed, LOOKUP_MATCH_LEAST); at < n; at++) {
        int32_t *last = chain(l, history, at);
        l->before[at] = *last;
        *last = at;
    }
    l->n_indexed = n;
}

static int match_length(const int32_t *history, int n, int at)
{
    int length = 0;
    while (length < LOOKUP_MATCH_MOST && length < at && history[at - 1 - length] == history[n - 1 - length])
        length++;
    return length;
}

/* The place to go on from; *length 0: none. */
static int find(const struct lookup *l, const int32_t *history, int n, int *length)
{
    int best = 0, at = *chain(l, history, n);
    *length = LOOKUP_MATCH_LEAST - 1;
    for (int i = 0; at && i < MOST_STEPS && *length < LOOKUP_MATCH_MOST; i++, at = l->before[at]) {
        int common = match_length(history, n, at);
        if (common > *length) {
            best = at;
            *length = common;
        }
    }
    if (!best)
        *length = 0;
    return best;
}

static int class_of(int length)
{
    int class = LOOKUP_CLASSES - 1;
    while (length < class_from[class])
        class--;
    return class;
}

/* The length that gives most tokens for the time of a step, when each token of a draft is right with this chance and
 * the other columns give a token each. */
static int best_length(const uint16_t *cost, int chance, int n_columns)
{
    int64_t right = ONE, tokens = (int64_t)n_columns * ONE, best_tokens = tokens;
    int best = 0;
    for (int n = 1; n <= LOOKUP_MOST && n_columns + n <= MOST_COLUMNS; n++) {
        right = right * chance / ONE;
        tokens += right;
        if (tokens * cost[n_columns + best] > best_tokens * cost[n_columns + n]) {
            best = n;
            best_tokens = tokens;
        }
    }
    return best;
}

static int wanted(struct lookup *l, int length, int n_columns)
{
    if (l->fixed)
        return l->fixed;
    l->class = class_of(length);
    int n = best_length(step_cost[l->cost], l->chance[l->class], n_columns);
    n = min_int(n, 1 + l->n_seen[l->class]); /* what nothing is known of begins small */
    return n > 0 || ++l->n_idle[l->class] < IDLE_MOST || n_columns >= MOST_COLUMNS ? n : 1;
}

int lookup_draft(struct lookup *l, int32_t *history, int n, int most, int n_columns)
{
    int length;
    catch_up(l, history, n);
    if (n < LOOKUP_MATCH_LEAST || most <= 0)
        return 0;
    int at = find(l, history, n, &length);
    if (length == 0)
        return 0;
    int n_draft = min_int(wanted(l, length, n_columns), most);
    for (int i = 0; i < n_draft; i++)
        history[n + i] = history[at + i]; /* may run into the draft itself: then the text goes round */
    return n_draft;
}

static void see(struct lookup *l, bool right)
{
    int *n = &l->n_seen[l->class], *chance = &l->chance[l->class];
    int rate = min_int(FAST + *n, SLOW);
    *chance += ((right ? ONE : 0) - *chance) / rate;
    *n = min_int(*n + 1, SLOW);
}

void lookup_learn(struct lookup *l, int n_right, bool wrong)
{
    l->n_idle[l->class] = 0;
    for (int i = 0; i < n_right; i++)
        see(l, true);
    if (wrong)
        see(l, false);
}
