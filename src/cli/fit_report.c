/* fit_report.c: what `hearth fit` prints. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/fit.h"
#include "cli/json_out.h"
#include "cli/receipt_text.h"
#include "cli/units.h"

enum { MOST_SHOWN = 20, NAME_COLUMNS = 30 };

static const char *const verdict_key[] = { [FIT_GOOD] = "good", [FIT_SLOW] = "slow", [FIT_TOO_LARGE] = "too large",
                                           [FIT_NOT_RUN] = "not run" };

/* ---- text ---- */

static const char *rate(char out[UNITS_BYTES], double v)
{
    snprintf(out, UNITS_BYTES, "%.*f", v < 10 ? 1 : 0, v);
    return out;
}

static void print_name(const char *name)
{
    size_t n = strlen(name);
    const char *from = n > NAME_COLUMNS ? name + n - NAME_COLUMNS : name;
    print_in_line(stdout, from);
    for (size_t i = strlen(from); i < NAME_COLUMNS; i++)
        putchar(' ');
}

static void print_row(const struct fit_candidate *c)
{
    char size[UNITS_BYTES], memory[UNITS_BYTES], first[UNITS_BYTES], v[UNITS_BYTES], low[UNITS_BYTES],
        high[UNITS_BYTES], all[UNITS_BYTES];
    const struct fit_forecast *f = &c->forecast;
    print_name(c->model.name);
    printf("%9s", text_of_bytes(size, c->model.weight_bytes));
    if (c->verdict == FIT_NOT_RUN) {
        fputs("  not run by this build: ", stdout);
        print_in_line(stdout, c->model.problem);
        putchar('\n');
        return;
    }
    printf("%9s", text_of_bytes(memory, f->memory.total));
    if (c->verdict == FIT_TOO_LARGE) {
        char sum[240];
        fit_memory_sum(sum, sizeof sum, &f->memory);
        printf("  does not fit: %s\n", sum);
        return;
    }
    printf("%9s%8s (%s to %s)%9s%s\n", text_of_ms(first, f->first_token_ms.value), rate(v, f->tok_s.value),
           rate(low, f->tok_s.low), rate(high, f->tok_s.high), rate(all, f->tok_s_all.value),
           c->verdict == FIT_SLOW ? "  too slow" : "");
    if (f->decode_times != 1 || f->prefill_times != 1)
        printf("%*scorrected by %d recorded answers: tokens %.2f times as fast as forecast, prompts %.2f\n",
               NAME_COLUMNS, "", f->n_recorded, f->decode_times, f->prefill_times);
}

static void print_head(const struct fit_result *r)
{
    const struct fit_machine *m = r->machine;
    char budget[UNITS_BYTES];
    printf("machine  %s, %d thread%s, memory %.1f GB/s, int8 %.0f and f32 %.0f GMAC/s (%s), budget %s\n", m->isa,
           m->n_threads, m->n_threads == 1 ? "" : "s", m->read, m->int8, m->f32,
           m->given ? "as said" : "measured now", text_of_bytes(budget, m->budget_bytes));
    if (m->disk > 0)
        printf("disk     %.0f MB/s (%s)\n", m->disk, m->disk_measured ? "measured now" : "as said");
    if (m->disturbed > 0.1)
        printf("         others disturbed %.0f %% of these readings: forecasts are wider, and may be too low\n",
               100 * m->disturbed);
    if (m->cpu_share < 1)
        printf("         a quota leaves %.0f %% of these threads' time\n", 100 * m->cpu_share);
    printf("for      %s: at least %.4g %s\n\n", fit_goals[r->goal].name, r->min_speed, fit_goals[r->goal].counts);
}

static void print_reason(const struct fit_result *r)
{
    const struct fit_choice *k = &r->choice;
    if (k->best < 0) {
        puts("\nNone of these can be run here.");
        return;
    }
    const struct fit_candidate *best = &r->c[k->best];
    char v[UNITS_BYTES];
    fputs("\nrecommended  ", stdout);
    print_in_line(stdout, best->model.name);
    if (best->verdict == FIT_GOOD)
        printf(": the largest of these that fits and is fast enough, with about %s %s\n", rate(v, best->speed),
               fit_goals[r->goal].counts);
    else
        printf(": none is fast enough; this one is the fastest, with about %s %s\n", rate(v, best->speed),
               fit_goals[r->goal].counts);
    if (!isnan(best->forecast.load_cold_ms.value)) {
        char cold[UNITS_BYTES], warm[UNITS_BYTES];
        printf("             it starts in %s from the disk, in %s when it is in memory already\n",
               text_of_ms(cold, best->forecast.load_cold_ms.value),
               text_of_ms(warm, best->forecast.load_warm_ms.value));
    }
    if (k->smaller >= 0) {
        fputs("smaller      ", stdout);
        print_in_line(stdout, r->c[k->smaller].model.name);
        printf(": about %s\n", rate(v, r->c[k->smaller].speed));
    }
    if (k->larger >= 0) {
        const struct fit_candidate *l = &r->c[k->larger];
        char sum[240];
        fit_memory_sum(sum, sizeof sum, &l->forecast.memory);
        fputs("larger       ", stdout);
        print_in_line(stdout, l->model.name);
        printf(": about %s%s%s\n", rate(v, l->speed), l->verdict == FIT_TOO_LARGE ? "; " : "",
               l->verdict == FIT_TOO_LARGE ? sum : l->verdict == FIT_SLOW ? ", too slow" : "");
    }
}

/* A bar of what a token takes for each that fits: longer is slower. */
static void print_picture(const struct fit_result *r, int width)
{
    double longest = 0;
    int room = width - NAME_COLUMNS - 22, n = 0;
    for (int i = 0; i < r->n && i < MOST_SHOWN && r->c[i].verdict <= FIT_SLOW; i++, n++)
        longest = fmax(longest, 1e3 / r->c[i].forecast.tok_s.value);
    if (n < 2 || room < 8)
        return;
    puts("\nms a token (#), by size");
    for (int i = 0; i < n; i++) {
        char size[UNITS_BYTES];
        double ms = 1e3 / r->c[i].forecast.tok_s.value;
        int bar = (int)(ms / longest * room + 0.5);
        print_name(r->c[i].model.name);
        printf("%9s ", text_of_bytes(size, r->c[i].model.weight_bytes));
        for (int j = 0; j < (bar < 1 ? 1 : bar); j++)
            putchar('#');
        printf(" %.3g\n", ms);
    }
}

static void print_next(const struct fit_result *r)
{
    const struct fit_candidate *best = r->choice.best >= 0 ? &r->c[r->choice.best] : NULL;
    if (!best)
        return;
    fputs("\nnext: ", stdout);
    if (best->model.from_dimensions) {
        fputs("hearth pull hf:OWNER/REPO, or hf:OWNER/REPO:TYPE, of a repository that has it as GGUF; --plan says "
              "first whether it fits\n", stdout);
    } else {
        fputs("hearth chat ", stdout);
        print_in_line(stdout, best->path);
        putchar('\n');
    }
}

void fit_print_text(const struct fit_result *r, int width)
{
    print_head(r);
    printf("%-*s%9s%9s%9s%8s %-13s%6s\n", NAME_COLUMNS, "", "weights", "memory", "first", "tok/s", "", "users'");
    for (int i = 0; i < r->n && i < MOST_SHOWN; i++)
        print_row(&r->c[i]);
    if (r->n > MOST_SHOWN)
        printf("and %d more; --json or --csv has all of them\n", r->n - MOST_SHOWN);
    print_reason(r);
    print_picture(r, width);
    print_next(r);
}

/* ---- CSV ---- */

void fit_print_csv(const struct fit_result *r)
{
    puts("name,architecture,verdict,n_parameters,file_bytes,n_context,n_prompt,n_users,memory_bytes,weights_bytes,"
         "kv_bytes,workspace_bytes,budget_bytes,load_warm_ms,load_cold_ms,first_token_ms,prompt_tok_s,tok_s,tok_s_low,"
         "tok_s_high,tok_s_all");
    for (int i = 0; i < r->n; i++) {
        const struct fit_candidate *c = &r->c[i];
        const struct fit_forecast *f = &c->forecast;
        for (const char *p = c->model.name; *p; p++)
            putchar(*p == ',' || *p == '"' || (unsigned char)*p < 0x20 ? '_' : *p);
        printf(",%s,%s,%llu,%llu,%d,%d,%d,%llu,%llu,%llu,%llu,%llu", c->model.architecture, verdict_key[c->verdict],
               (unsigned long long)c->model.n_parameters, (unsigned long long)c->model.file_bytes,
               c->task.n_context, c->task.n_prompt, c->task.n_users, (unsigned long long)f->memory.total,
               (unsigned long long)f->memory.weights, (unsigned long long)f->memory.kv,
               (unsigned long long)f->memory.workspace, (unsigned long long)f->memory.budget);
        if (c->verdict == FIT_NOT_RUN)
            puts(",,,,,,,,");
        else if (isnan(f->load_cold_ms.value))
            printf(",%.5g,,%.5g,%.5g,%.5g,%.5g,%.5g,%.5g\n", f->load_warm_ms.value, f->first_token_ms.value,
                   f->prompt_tok_s.value, f->tok_s.value, f->tok_s.low, f->tok_s.high, f->tok_s_all.value);
        else
            printf(",%.5g,%.5g,%.5g,%.5g,%.5g,%.5g,%.5g,%.5g\n", f->load_warm_ms.value, f->load_cold_ms.value,
                   f->first_token_ms.value, f->prompt_tok_s.value, f->tok_s.value, f->tok_s.low, f->tok_s.high,
                   f->tok_s_all.value);
    }
}

/* ---- JSON ---- */

static json_t *figure_json(struct fit_figure f)
{
    return isnan(f.value) ? json_null() : json_pack("{s:f, s:f, s:f}", "value", f.value, "low", f.low, "high", f.high);
}

static json_t *memory_json(const struct fit_memory *m)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "weights_bytes", (json_int_t)m->weights, "kv_bytes",
                     (json_int_t)m->kv, "workspace_bytes", (json_int_t)m->workspace, "vocabulary_bytes",
                     (json_int_t)m->vocabulary, "program_bytes", (json_int_t)m->program, "total_bytes",
                     (json_int_t)m->total, "budget_bytes", (json_int_t)m->budget, "fits", m->fits);
}

/* null: no answer of it was recorded here. */
static json_t *recorded_json(const struct fit_forecast *f)
{
    return f->n_recorded == 0 ? json_null()
                              : json_pack("{s:i, s:f, s:f}", "n_answers", f->n_recorded, "decode_times",
                                          f->decode_times, "prefill_times", f->prefill_times);
}

static json_t *candidate_json(const struct fit_candidate *c)
{
    const struct fit_forecast *f = &c->forecast;
    json_t *o = json_pack("{s:o, s:s, s:o, s:I, s:I, s:i, s:i, s:i, s:s}", "name", json_of_text(c->model.name),
                          "verdict", verdict_key[c->verdict], "architecture", json_of_text(c->model.architecture),
                          "n_parameters", (json_int_t)c->model.n_parameters, "file_bytes",
                          (json_int_t)c->model.file_bytes, "n_context_tokens", c->task.n_context, "n_prompt_tokens",
                          c->task.n_prompt, "n_users", c->task.n_users, "dimensions_from",
                          c->model.from_dimensions ? c->model.source : "file");
    if (!o)
        return NULL;
    bool ok = c->verdict == FIT_NOT_RUN
                  ? json_object_set_new(o, "problem", json_of_text(c->model.problem)) == 0
                  : json_object_set_new(o, "memory", memory_json(&f->memory)) == 0
                        && json_object_set_new(o, "recorded", recorded_json(f)) == 0
                        && json_object_set_new(o, "load_warm_ms", figure_json(f->load_warm_ms)) == 0
                        && json_object_set_new(o, "load_cold_ms", figure_json(f->load_cold_ms)) == 0
                        && json_object_set_new(o, "first_token_ms", figure_json(f->first_token_ms)) == 0
                        && json_object_set_new(o, "prompt_tok_s", figure_json(f->prompt_tok_s)) == 0
                        && json_object_set_new(o, "tok_s", figure_json(f->tok_s)) == 0
                        && json_object_set_new(o, "tok_s_all_users", figure_json(f->tok_s_all)) == 0;
    if (ok)
        return o;
    json_decref(o);
    return NULL;
}

static json_t *name_json(const struct fit_result *r, int i)
{
    return i < 0 ? json_null() : json_of_text(r->c[i].model.name);
}

bool fit_print_json(const struct fit_result *r, hearth_error *err)
{
    const struct fit_machine *m = r->machine;
    json_t *list = json_array();
    for (int i = 0; list && i < r->n; i++) {
        json_t *one = candidate_json(&r->c[i]);
        if (!one || json_array_append_new(list, one) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    json_t *o = json_pack(
        "{s:s, s:f, s:{s:s, s:i, s:f, s:f, s:f, s:o, s:f, s:b, s:f, s:I}, s:o, s:o, s:o, s:o}", "goal",
        fit_goals[r->goal].name, "min_speed_tok_s", r->min_speed, "machine", "isa", m->isa, "n_threads", m->n_threads,
        "read_gb_s", m->read, "int8_gmac_s", m->int8, "f32_gmac_s", m->f32, "disk_mb_s",
        m->disk > 0 ? json_real(m->disk) : json_null(), "disturbed", m->disturbed, "given",
        m->given, "cpu_share", m->cpu_share, "budget_bytes", (json_int_t)m->budget_bytes, "recommended",
        name_json(r, r->choice.best), "smaller", name_json(r, r->choice.smaller), "larger",
        name_json(r, r->choice.larger), "models", list);
    return json_print(o, JSON_INDENT(2) | JSON_REAL_PRECISION(6), "the JSON of the forecasts", err);
}
