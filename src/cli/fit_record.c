/* fit_record.c: forecasts of a file corrected by what it did here: answers that were recorded (hearth run and hearth
 * chat with --record, servers of one sequence), with the same instruction set and as many threads. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/fit.h"
#include "record/recorded.h"

/* The newest rows that are looked through; what is taken of one model; fewer answers, or shorter ones, say too
 * little. */
enum { ROWS = 2000, MOST = 64, LEAST = 3, LEAST_OUTPUT_TOKENS = 16, LEAST_PROMPT_TOKENS = 64 };

struct ratios {
    double v[MOST];
    int n; /* that there were: the newest MOST of them are in v */
};

struct look {
    const struct fit_candidate *c;
    int n;
    const struct fit_machine *machine;
    struct of_one {
        struct ratios decode, prefill; /* how many times as fast as forecast */
    } *of; /* [n] */
};

static void add(struct ratios *r, double times)
{
    if (times > 1e-3 && times < 1e3) /* else it tells of something else */
        r->v[r->n++ % MOST] = times;
}

static double number(const json_t *o, const char *object, const char *key)
{
    return json_number_value(json_object_get(json_object_get(o, object), key));
}

static bool is_of_this_machine(const json_t *receipt, const struct fit_machine *m)
{
    const char *isa = json_string_value(json_object_get(receipt, "isa"));
    return isa && strcmp(isa, m->isa) == 0
           && json_integer_value(json_object_get(receipt, "n_threads")) == m->n_threads
           && json_integer_value(json_object_get(receipt, "n_threads_prefill")) == m->n_threads
           && number(receipt, "memory", "n_seqs") == 1 && number(receipt, "speculation", "n_draft_tokens") == 0
           && number(receipt, "preemption", "n") == 0;
}

static void compare(struct of_one *of, const struct fit_candidate *c, const struct fit_machine *m,
                    const json_t *receipt)
{
    double n_out = number(receipt, "decode", "n_output_tokens"), n_in = number(receipt, "prefill", "n_prompt_tokens");
    double n_new = number(receipt, "prefill", "n_computed_tokens");
    double decode_s = number(receipt, "decode", "ms") / 1e3, prefill_s = number(receipt, "prefill", "ms") / 1e3;
    if (n_out >= LEAST_OUTPUT_TOKENS && decode_s > 0)
        add(&of->decode, (n_out - 1) * fit_step_seconds(&c->model, m, 1, n_in + n_out / 2) / decode_s);
    if (n_new >= LEAST_PROMPT_TOKENS && n_new == n_in && n_in < 1e7 && prefill_s > 0)
        add(&of->prefill, fit_prompt_seconds(&c->model, m, (int)n_in) / prefill_s);
}

static bool see(void *arg, const struct recorded_row *row)
{
    struct look *look = arg;
    json_t *receipt = NULL;
    for (int i = 0; i < look->n; i++) {
        const struct fit_candidate *c = &look->c[i];
        if (!c->model.runs || !c->model.identity[0] || !row->identity || strcmp(c->model.identity, row->identity) != 0)
            continue;
        if (!receipt && row->receipt)
            receipt = json_loads(row->receipt, 0, NULL);
        if (receipt && is_of_this_machine(receipt, look->machine))
            compare(&look->of[i], c, look->machine, receipt);
    }
    json_decref(receipt);
    return true;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double middle(struct ratios *r)
{
    int n = r->n < MOST ? r->n : MOST;
    qsort(r->v, (size_t)n, sizeof r->v[0], by_value);
    return n % 2 ? r->v[n / 2] : (r->v[n / 2 - 1] + r->v[n / 2]) / 2;
}

static void scale(struct fit_figure *f, double times)
{
    f->value *= times;
    f->low *= times;
    f->high *= times;
}

static void correct(struct fit_forecast *f, struct of_one *of)
{
    f->n_recorded = of->decode.n > of->prefill.n ? of->decode.n : of->prefill.n;
    if (of->decode.n >= LEAST) {
        f->decode_times = middle(&of->decode);
        scale(&f->tok_s, f->decode_times);
        scale(&f->tok_s_all, f->decode_times);
    }
    if (of->prefill.n >= LEAST) {
        f->prefill_times = middle(&of->prefill);
        scale(&f->prompt_tok_s, f->prefill_times);
        scale(&f->first_token_ms, 1 / f->prefill_times);
    }
}

bool fit_record_correct(struct fit_candidate *c, int n, const struct fit_machine *machine, const char *dir,
                        hearth_error *err)
{
    struct recorded_filter all = { .status = -1, .last = ROWS };
    struct look look = { .c = c, .n = n, .machine = machine, .of = mem_alloc((size_t)(n + 1) * sizeof *look.of) };
    if (!look.of)
        return fail_memory(err, "what was recorded");
    bool ok = recorded_list(dir, &all, RECORDED_RECEIPT, see, &look, err);
    for (int i = 0; ok && i < n; i++)
        correct(&c[i].forecast, &look.of[i]);
    mem_free(look.of);
    return ok;
}
