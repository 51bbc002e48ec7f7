/* share.c: one budget for several models, divided before any of them is loaded.
 *
 * What each needs at least is its own: weights, vocabulary, workspace, and one context (the one that was asked for, or
 * the smallest that is chosen unasked). What is left is divided evenly, and what a model has no use for (its longest
 * context for all its sequences takes less) is divided among the others (max-min fairness, as of links: Bertsekas and
 * Gallager, Data Networks, 6.5.2). So a small model beside a large one costs it only what the small one uses. */
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
    if (e->request_bytes)
        add(s, " + requests %llu MiB", (unsigned long long)(e->request_bytes >> 20));
    if (e->program_bytes)
        add(s, " + program %llu MiB", (unsigned long long)(e->program_bytes >> 20));
}

static uint64_t own_at(hearth_file *const *files, const hearth_engine *e, const hearth_model_options *o, int n,
                       int n_ctx)
{
    uint64_t sum = of_all(e);
    for (int i = 0; i < n; i++) {
        struct needs needs;
        struct plan_request r = registry_request(e, &o[i], files[i]);
        r.n_ctx = n_ctx;
        r.request_bytes = r.program_bytes = 0;
        plan_bounds(files[i], &r, &needs.least, &needs.most);
        sum += own_bytes(&needs.least);
    }
    return sum;
}

/* The longest context with which all fit, in steps of 64; 0: none does. */
static int context_that_fits(hearth_file *const *files, const hearth_engine *e, const hearth_model_options *o, int n,
                             uint64_t budget)
{
    enum { STEP = 64 };
    int fits = 0, fails = MAX_CTX / STEP;
    while (fails - fits > 1) {
        int middle = fits + (fails - fits) / 2;
        if (own_at(files, e, o, n, middle * STEP) <= budget)
            fits = middle;
        else
            fails = middle;
    }
    return fits * STEP;
}

static bool refuse_own(const struct needs *needs, hearth_file *const *files, const hearth_engine *e,
                       const hearth_model_options *o, int n, uint64_t budget, hearth_error *err)
{
    struct sentence s = { 0 };
    uint64_t sum = of_all(e);
    int n_ctx = context_that_fits(files, e, o, n, budget);
    for (int i = 0; i < n; i++)
        sum += own_bytes(&needs[i].least);
    add_sum(&s, needs, files, n, false, e);
    add(&s, " = %llu MiB, but the budget is %llu MiB", (unsigned long long)(sum >> 20),
        (unsigned long long)(budget >> 20));
    if (n_ctx > 0)
        return fail(err, HEARTH_ERR_MEMORY, "the models do not fit together (KV cache, workspace, vocabulary): %s; "
                    "--ctx %d would fit", s.text, n_ctx);
    return fail(err, HEARTH_ERR_MEMORY, "the models do not fit together (KV cache, workspace, vocabulary): %s; open "
                "fewer of them%s", s.text, e->request_bytes ? ", or lower --request-memory and --connections" : "");
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

/* ---- all together ---- */

bool hearth_engine_share(hearth_engine *e, hearth_file *const *files, hearth_model_options *options, int n,
                         hearth_error *err)
{
    struct needs needs[ENGINE_MAX_MODELS];
    uint64_t own = of_all(e), all = of_all(e);
    bool kept = false;
    err_clear(err);
    if (n < 1 || n > ENGINE_MAX_MODELS)
        return fail(err, HEARTH_ERR_USAGE, "%d models are named; an engine holds 1 to %d", n, ENGINE_MAX_MODELS);
    for (int i = 0; i < n; i++) {
        if (!look_at(&needs[i], files[i], e, &options[i], err))
            return false;
        own += own_bytes(&needs[i].least);
        all += needs[i].least.total_bytes;
        kept = kept || options[i].preload || options[i].lock;
    }
    if (!e->budget_bytes)
        e->budget_bytes = plan_machine_budget(e->program_bytes);
    if (own > e->budget_bytes)
        return refuse_own(needs, files, e, options, n, e->budget_bytes, err);
    if (kept && all > e->budget_bytes)
        return refuse_weights(needs, files, e, n, e->budget_bytes, err);
    divide(needs, n, all < e->budget_bytes ? e->budget_bytes - all : 0);
    for (int i = 0; i < n; i++)
        options[i].budget_bytes = needs[i].share + of_all(e); /* as its plan counts */
    return true;
}
