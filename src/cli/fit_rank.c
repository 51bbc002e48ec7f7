/* fit_rank.c: which of several models for a goal. Size stands for what a model can do: a header says nothing better. */
#include <stdlib.h>

#include "base/base.h"
#include "cli/fit.h"

const struct fit_goal_info fit_goals[FIT_N_GOALS] = {
    [FIT_CHAT] = { "chat", 4096, 512, 1, 8, "tokens a second alone" },
    [FIT_CODE] = { "code", 8192, 2048, 1, 15, "tokens a second alone" },
    [FIT_BATCH] = { "batch", 2048, 512, 8, 20, "tokens a second of all users together" },
    [FIT_EMBED] = { "embed", 512, 512, 1, 200, "prompt tokens a second" },
};

static double speed_of(const struct fit_candidate *c, enum fit_goal goal)
{
    const struct fit_forecast *f = &c->forecast;
    return goal == FIT_EMBED ? f->prompt_tok_s.value : goal == FIT_BATCH ? f->tok_s_all.value : f->tok_s.value;
}

/* The better comes first; the same order whatever order they came in. */
static int better(const void *a, const void *b)
{
    const struct fit_candidate *x = a, *y = b;
    if (x->verdict != y->verdict)
        return x->verdict < y->verdict ? -1 : 1;
    bool small_first = x->verdict == FIT_TOO_LARGE || x->verdict == FIT_NOT_RUN;
    if (x->verdict == FIT_SLOW && x->speed != y->speed)
        return x->speed > y->speed ? -1 : 1;
    const uint64_t px = x->model.n_parameters, py = y->model.n_parameters;
    const uint64_t bx = x->model.weight_bytes, by = y->model.weight_bytes;
    if (px != py)
        return (px > py) == small_first ? 1 : -1;
    return bx == by ? 0 : (bx > by) == small_first ? 1 : -1;
}

void fit_rank(struct fit_candidate *c, int n, enum fit_goal goal, double min_speed)
{
    for (int i = 0; i < n; i++) {
        c[i].speed = c[i].model.runs ? speed_of(&c[i], goal) : 0;
        c[i].verdict = !c[i].model.runs            ? FIT_NOT_RUN
                       : !c[i].forecast.memory.fits ? FIT_TOO_LARGE
                       : c[i].speed < min_speed     ? FIT_SLOW
                                                    : FIT_GOOD;
    }
    qsort(c, (size_t)n, sizeof *c, better);
}

void fit_choose(struct fit_choice *out, const struct fit_candidate *c, int n)
{
    *out = (struct fit_choice){ .best = -1, .smaller = -1, .larger = -1 };
    if (n == 0 || c[0].verdict > FIT_SLOW)
        return;
    out->best = 0;
    uint64_t best = c[0].model.weight_bytes;
    for (int i = 1; i < n; i++) {
        uint64_t bytes = c[i].model.weight_bytes;
        if (bytes < best && c[i].verdict <= FIT_SLOW
            && (out->smaller < 0 || bytes > c[out->smaller].model.weight_bytes))
            out->smaller = i;
        if (bytes > best && c[i].verdict != FIT_NOT_RUN
            && (out->larger < 0 || bytes < c[out->larger].model.weight_bytes))
            out->larger = i;
    }
}
