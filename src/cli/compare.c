#include "cli/compare.h"

#include <math.h>

#include "base/alloc.h"
#include "cli/bench_figures.h"

const char *const compare_key[COMPARE_N_FIGURES] = {
#define FIGURE(id, key, help) [COMPARE_##id] = key,
#include "cli/compare_figures.def"
};
const char *const compare_side_name[COMPARE_N_SIDES] = { [COMPARE_LOCAL] = "local", [COMPARE_API] = "api" };

bool comparison_make(struct comparison *c, int n_prompts, int n_runs, hearth_error *err)
{
    c->n_runs = n_runs;
    c->prompt = mem_alloc((size_t)n_prompts * sizeof *c->prompt);
    if (!c->prompt)
        return fail_memory(err, "the prompts");
    c->n_prompts = n_prompts;
    for (int i = 0; i < n_prompts; i++) {
        for (int side = 0; side < COMPARE_N_SIDES; side++) {
            struct compare_answers *a = &c->prompt[i].side[side];
            a->run = mem_alloc((size_t)n_runs * sizeof *a->run);
            if (!a->run)
                return fail_memory(err, "the figures");
            for (int r = 0; r < n_runs; r++)
                for (int f = 0; f < COMPARE_N_FIGURES; f++)
                    a->run[r].figure[f] = NAN;
        }
    }
    return true;
}

void comparison_free(struct comparison *c)
{
    for (int i = 0; i < c->n_prompts; i++) {
        mem_free(c->prompt[i].text);
        for (int side = 0; side < COMPARE_N_SIDES; side++) {
            mem_free(c->prompt[i].side[side].run);
            buf_free(&c->prompt[i].side[side].text);
            buf_free(&c->prompt[i].side[side].thinking);
        }
    }
    mem_free(c->prompt);
    c->prompt = NULL;
    c->n_prompts = 0;
}

bool compare_keep_text(struct compare_answers *a, struct str text, struct str thinking, hearth_error *err)
{
    if (a->n_ok++ == 0) {
        buf_put(&a->text, text.ptr, text.len);
        buf_put(&a->thinking, thinking.ptr, thinking.len);
    }
    a->n_same += str_eq(buf_str(&a->text), text);
    return (!a->text.failed && !a->thinking.failed) || fail_memory(err, "the answer");
}

/* Room for as many figures as there are answers to a prompt, or prompts. */
static double median_of(double *v, int n)
{
    double median = n > 0 ? bench_median(v, n, NULL, NULL) : NAN;
    mem_free(v);
    return median;
}

double compare_median(const struct comparison *c, const struct compare_prompt *p, int side, enum compare_figure f)
{
    double *v = mem_alloc((size_t)c->n_runs * sizeof *v);
    int n = 0;
    for (int r = 0; v && r < c->n_runs; r++) {
        const struct compare_run *run = &p->side[side].run[r];
        if (run->ok && !isnan(run->figure[f]))
            v[n++] = run->figure[f];
    }
    return median_of(v, n);
}

double compare_median_of_all(const struct comparison *c, int side, enum compare_figure f)
{
    double *v = mem_alloc((size_t)c->n_prompts * sizeof *v);
    int n = 0;
    for (int i = 0; v && i < c->n_prompts; i++) {
        double one = compare_median(c, &c->prompt[i], side, f);
        if (!isnan(one))
            v[n++] = one;
    }
    return median_of(v, n);
}

/* ---- where two texts part ---- */

enum { MOST_BEFORE = 24, MOST_AFTER = 40 };

static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static bool inside_character(struct str s, size_t at) { return at < s.len && (s.ptr[at] & 0xc0) == 0x80; }

/* The word around `at`, of which a part may lie before it; the space itself where that is what differs. */
static struct str word_at(struct str s, size_t at)
{
    size_t start = at, end = at;
    while (start > 0 && at - start < MOST_BEFORE && !is_blank(s.ptr[start - 1]))
        start--;
    while (inside_character(s, start))
        start++;
    while (end < s.len && end - at < MOST_AFTER && (end == at || !is_blank(s.ptr[end]))) {
        bool blank = is_blank(s.ptr[end++]);
        if (blank)
            break;
    }
    while (end > at && inside_character(s, end))
        end--;
    return (struct str){ s.ptr + start, end - start };
}

void divergence_find(struct divergence *d, struct str a, struct str b)
{
    size_t n = min_size(a.len, b.len), at = 0;
    while (at < n && a.ptr[at] == b.ptr[at])
        at++;
    *d = (struct divergence){ .same = at == a.len && at == b.len };
    while (!d->same && at > 0 && (inside_character(a, at) || inside_character(b, at)))
        at--;
    d->byte = at;
    for (size_t i = 0; i < at; i++)
        d->n_chars += !inside_character(a, i);
    if (!d->same) {
        d->word[0] = word_at(a, at);
        d->word[1] = word_at(b, at);
    }
}
