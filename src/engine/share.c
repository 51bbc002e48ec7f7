/* share.c: one budget for several models, divided before any of them is loaded.
 *
 * What each needs at least is its own: weights, vocabulary, workspace, and one context (the one that was asked for, or
 * the smallest that is chosen unasked). What is left is divided evenly, and what a model has no use for (its longest
 * context for all its sequences takes less) is divided among the others (max-min fairness, as of links: Bertsekas and
 * Gallager, Data Networks, 6.5.2). So a small model beside a large one costs it only what the small one uses.
 *
 * Where they do not fit together and may take turns (turns.h), what each keeps while it sleeps is set aside, and the
 * budget is divided between those that never sleep and one room: each of the others may have all of that, alone. */
#include <stdarg.h>
#include <stdio.h>

#include "engine/engine.h"

struct needs {
    hearth_plan least, most;
    uint64_t share;
};

static uint64_t own_bytes(const hearth_plan *p) { return p->total_bytes - p->weights_bytes; }
/* Once for all of them. */
static uint64_t of_all(const hearth_engine *e) { return e->request_bytes + e->program_bytes; }

/* After the tokenizer is made, so that the plan is the one that opening will make. */
static bool look_at(struct needs *needs, hearth_file *f, const hearth_engine *e, const hearth_model_options *o,
                    hearth_error *err)
{
    if (!f->runs) {
        if (err)
            *err = f->problem;
        return err_context(err, "%s", f->name);
    }
    if (!file_tokenizer(f, err))
        return err_context(err, "%s", f->name);
    struct plan_request r = registry_request(e, o, f);
    r.request_bytes = r.program_bytes = 0; /* once for all of them */
    plan_bounds(f, &r, &needs->least, &needs->most);
    needs->least.total_bytes += r.kept_bytes;
    needs->most.total_bytes += r.kept_bytes;
    needs->least.weights_bytes += r.kept_bytes;
    return true;
}

/* The rest, to whoever has use for it. */
static void divide(struct needs *needs, int n, uint64_t rest)
{
    bool done[ENGINE_MAX_MODELS] = { false };
    for (int i = 0; i < n; i++)
        needs[i].share = needs[i].least.total_bytes;
    for (int left = n, before = -1; left > 0 && left != before;) {
        uint64_t each = rest / (uint64_t)left;
        before = left;
        for (int i = 0; i < n; i++) { /* those that are content with less go first */
            uint64_t use = needs[i].most.total_bytes - needs[i].least.total_bytes;
            if (done[i] || use > each)
                continue;
            done[i] = true;
            needs[i].share += use;
            rest -= use;
            left--;
        }
        for (int i = 0; left == before && i < n; i++)
            if (!done[i])
                needs[i].share += each;
    }
}

/* ---- when they do not fit ---- */

struct sentence {
    char text[400];
    size_t n;
};

PRINTF(2, 3) static void add(struct sentence *s, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(s->text + s->n, sizeof s->text - s->n, fmt, args);
    va_end(args);
    s->n = min_size(s->n + (size_t)max_int(n, 0), sizeof s->text - 1);
}

static void add_of_all(struct sentence *s, const hearth_engine *e)
{
    if (e->request_bytes)
        add(s, " + requests %llu MiB", (unsigned long long)(e->request_bytes >> 20));
    if (e->program_bytes)
        add(s, " + program %llu MiB", (unsigned long long)(e->program_bytes >> 20));
}

/* "A 12 MiB for 4096 tokens + B 30 MiB for 8192 tokens", as many as the sentence has room for. */
static void add_sum(struct sentence *s, const struct needs *needs, hearth_file *const *files, int n, bool weights,
                    const hearth_engine *e)
{
    enum { ROOM_FOR_ONE = 100 };
    uint64_t others = 0;
    int n_others = 0;
    for (int i = 0; i < n; i++) {
        const hearth_plan *p = &needs[i].least;
        uint64_t mib = (weights ? p->total_bytes : own_bytes(p)) >> 20;
        if (s->n + 2 * ROOM_FOR_ONE < sizeof s->text)
            add(s, "%s%.40s %llu MiB for %d tokens", i ? " + " : "", files[i]->name, (unsigned long long)mib,
                p->n_ctx_tokens);
        else if (++n_others)
            others += mib;
    }
    if (n_others)
        add(s, " + %d more %llu MiB", n_others, (unsigned long long)others);
    add_of_all(s, e);
}

/* What models take that take turns: those that never sleep with their weights, what the others keep while they sleep,
 * and the one of them that takes most while it is awake, without its weights. */
struct turn_sum {
    uint64_t stay, asleep, awake;
    int largest;
};

/* What they keep depends on contexts that are chosen within their shares: it is the most that it can be. */
static struct turn_sum in_turns(const struct needs *needs, const hearth_model_options *options, int n)
{
    struct turn_sum sum = { 0 };
    for (int i = 0; i < n; i++) {
        const hearth_plan *p = &needs[i].least;
        uint64_t awake = own_bytes(p) - p->asleep_bytes;
        if (registry_stays(&options[i])) {
            sum.stay += p->total_bytes;
            continue;
        }
        sum.asleep += needs[i].most.asleep_bytes;
        if (awake > sum.awake) {
            sum.awake = awake;
            sum.largest = i;
        }
    }
    return sum;
}

static uint64_t in_all(const struct turn_sum *sum, const hearth_engine *e)
{
    return of_all(e) + sum->stay + sum->asleep + sum->awake;
}

/* What is refused if it is more than the budget. */
static uint64_t needed_at(hearth_file *const *files, const hearth_engine *e, const hearth_model_options *o, int n,
                          bool turns, int n_ctx)
{
    struct needs needs[ENGINE_MAX_MODELS];
    uint64_t sum = of_all(e);
    for (int i = 0; i < n; i++) {
        struct plan_request r = registry_request(e, &o[i], files[i]);
        r.n_ctx = n_ctx;
        r.request_bytes = r.program_bytes = 0;
        plan_bounds(files[i], &r, &needs[i].least, &needs[i].most);
        needs[i].least.total_bytes += r.kept_bytes;
        sum += own_bytes(&needs[i].least);
    }
    struct turn_sum sum_of_turns = in_turns(needs, o, n);
    return turns ? in_all(&sum_of_turns, e) : sum;
}

/* The longest context with which all fit, in steps of 64; 0: none does. */
static int context_that_fits(hearth_file *const *files, const hearth_engine *e, const hearth_model_options *o, int n,
                             bool turns, uint64_t budget)
{
    enum { STEP = 64, SLACK_BYTES = 1 << 20 }; /* a program that starts again takes a little more or less */
    int fits = 0, fails = MAX_CTX / STEP;
    budget -= min_size(budget, e->program_bytes ? SLACK_BYTES : 0);
    while (fails - fits > 1) {
        int middle = fits + (fails - fits) / 2;
        if (needed_at(files, e, o, n, turns, middle * STEP) <= budget)
            fits = middle;
        else
            fails = middle;
    }
    return fits * STEP;
}

static bool refuse_sum(const char *how, const struct sentence *s, int n_ctx, const hearth_engine *e, hearth_error *err)
{
    if (n_ctx > 0)
        return fail(err, HEARTH_ERR_MEMORY, "the models do not fit %s (KV cache, workspace, vocabulary): %s; --ctx %d "
                    "would fit", how, s->text, n_ctx);
    return fail(err, HEARTH_ERR_MEMORY, "the models do not fit %s (KV cache, workspace, vocabulary): %s; open fewer of "
                "them%s", how, s->text, e->request_bytes ? ", or lower --request-memory and --connections" : "");
}

static bool refuse_own(const struct needs *needs, hearth_file *const *files, const hearth_engine *e,
                       const hearth_model_options *o, int n, uint64_t budget, hearth_error *err)
{
    struct sentence s = { 0 };
    uint64_t sum = of_all(e);
    int n_ctx = context_that_fits(files, e, o, n, false, budget);
    for (int i = 0; i < n; i++)
        sum += own_bytes(&needs[i].least);
    add_sum(&s, needs, files, n, false, e);
    add(&s, " = %llu MiB, but the budget is %llu MiB", (unsigned long long)(sum >> 20),
        (unsigned long long)(budget >> 20));
    return refuse_sum("together", &s, n_ctx, e, err);
}

static bool refuse_weights(const struct needs *needs, hearth_file *const *files, const struct hearth_engine *e, int n,
                           uint64_t budget, hearth_error *err)
{
    struct sentence s = { 0 };
    uint64_t sum = of_all(e);
    for (int i = 0; i < n; i++)
        sum += needs[i].least.total_bytes;
    add_sum(&s, needs, files, n, true, e);
    return fail(err, HEARTH_ERR_MEMORY, "the models cannot all be kept in memory: %s = %llu MiB, weights included, but "
                "the budget is %llu MiB; leave out --preload and --lock", s.text, (unsigned long long)(sum >> 20),
                (unsigned long long)(budget >> 20));
}

/* ---- in turns ---- */

static uint64_t awake_bytes(const hearth_plan *p) { return p->total_bytes - p->asleep_bytes; }

static bool refuse_turns(const struct needs *needs, const struct turn_sum *sum, hearth_file *const *files,
                         const hearth_engine *e, const hearth_model_options *o, int n, hearth_error *err)
{
    struct sentence s = { 0 };
    int n_ctx = context_that_fits(files, e, o, n, true, e->budget_bytes);
    if (sum->stay)
        add(&s, "those that never sleep %llu MiB with their weights + ", (unsigned long long)(sum->stay >> 20));
    add(&s, "asleep %llu MiB + awake %.40s %llu MiB for %d tokens", (unsigned long long)(sum->asleep >> 20),
        files[sum->largest]->name, (unsigned long long)(sum->awake >> 20), needs[sum->largest].least.n_ctx_tokens);
    add_of_all(&s, e);
    add(&s, " = %llu MiB, but the budget is %llu MiB", (unsigned long long)(in_all(sum, e) >> 20),
        (unsigned long long)(e->budget_bytes >> 20));
    return refuse_sum("even when they take turns", &s, n_ctx, e, err);
}

static bool share_turns(hearth_engine *e, const struct needs *needs, hearth_file *const *files,
                        hearth_model_options *options, int n, hearth_error *err)
{
    struct needs places[ENGINE_MAX_MODELS] = { 0 }, *room = &places[0];
    int n_places = 1, place_of[ENGINE_MAX_MODELS];
    struct turn_sum sum = in_turns(needs, options, n);
    if (in_all(&sum, e) > e->budget_bytes)
        return refuse_turns(needs, &sum, files, e, options, n, err);
    for (int i = 0; i < n; i++) {
        place_of[i] = registry_stays(&options[i]) ? n_places++ : 0;
        if (place_of[i]) {
            places[place_of[i]] = needs[i];
            continue;
        }
        room->least.total_bytes = max_size(room->least.total_bytes, awake_bytes(&needs[i].least));
        room->most.total_bytes = max_size(room->most.total_bytes, awake_bytes(&needs[i].most));
    }
    uint64_t left = e->budget_bytes - of_all(e) - sum.stay - sum.asleep;
    room->least.total_bytes = min_size(room->least.total_bytes, left); /* of the weights what there is room for */
    divide(places, n_places, left - room->least.total_bytes);
    e->take_turns = true;
    e->turn_room_bytes = room->share;
    for (int i = 0; i < n; i++)
        options[i].budget_bytes = of_all(e) + places[place_of[i]].share
                                  + (place_of[i] ? 0 : needs[i].most.asleep_bytes);
    return true;
}

/* ---- all together ---- */

bool hearth_engine_share(hearth_engine *e, hearth_file *const *files, hearth_model_options *options, int n,
                         hearth_error *err)
{
    struct needs needs[ENGINE_MAX_MODELS];
    uint64_t own = of_all(e), all = of_all(e);
    bool kept = false;
    int n_rest = 0;
    err_clear(err);
    if (n < 1 || n > ENGINE_MAX_MODELS)
        return fail(err, HEARTH_ERR_USAGE, "%d models are named; an engine holds 1 to %d", n, ENGINE_MAX_MODELS);
    for (int i = 0; i < n; i++) {
        if (!look_at(&needs[i], files[i], e, &options[i], err))
            return false;
        own += own_bytes(&needs[i].least);
        all += needs[i].least.total_bytes;
        kept = kept || options[i].preload || options[i].lock;
        n_rest += !registry_stays(&options[i]);
    }
    if (!e->budget_bytes)
        e->budget_bytes = plan_machine_budget(e->program_bytes);
    if (e->may_take_turns && n_rest > 1 && all > e->budget_bytes)
        return share_turns(e, needs, files, options, n, err);
    if (own > e->budget_bytes)
        return refuse_own(needs, files, e, options, n, e->budget_bytes, err);
    if (kept && all > e->budget_bytes)
        return refuse_weights(needs, files, e, n, e->budget_bytes, err);
    divide(needs, n, all < e->budget_bytes ? e->budget_bytes - all : 0);
    for (int i = 0; i < n; i++)
        options[i].budget_bytes = needs[i].share + of_all(e); /* as its plan counts */
    return true;
}
