/* quantize_trial_report.c: candidates as a table with a picture, as rows for spreadsheets, as JSON. */
#include <stdio.h>

#include "cli/json_out.h"
#include "cli/quantize_trial.h"
#include "cli/units.h"

static const char *name_of(const struct trial_one *one) { return one->mix ? one->mix->name : "IN"; }
static const char *text_name(const struct trial *t) { return t->text_path ? t->text_path : "built-in"; }

/* ---- the table ---- */

static void print_one(const struct trial_one *one)
{
    char bytes[UNITS_BYTES], memory[UNITS_BYTES], kld[64] = "", p99[32] = "", top[16] = "";
    if (one->mix) {
        snprintf(kld, sizeof kld, "%.5f +/- %.5f", one->kld.mean, one->kld.standard_error);
        snprintf(p99, sizeof p99, "%.4f", one->kld.p99);
        snprintf(top, sizeof top, "%.1f %%", 100 * one->kld.same_top);
    }
    printf("%-7s%10s%6.2f%21s%8s%8s%11.4f +/- %-7.4f%9.1f%9.1f%10s\n", name_of(one), text_of_bytes(bytes, one->bytes),
           one->bits, kld, p99, top, score_perplexity(&one->score), score_standard_error(&one->score), one->prefill,
           one->decode, text_of_bytes(memory, one->planned_bytes));
}

void trial_print_table(const struct trial *t, int width)
{
    char text[TRADE_SENTENCE_BYTES];
    printf("%s; text: %s, %zu windows of %d tokens, %zu of them scored; %s, %d thread%s; memory at %d tokens\n\n",
           t->in, text_name(t), t->windows.n, t->windows.n_tokens, t->model.score.n, hearth_isa(NULL), t->used_threads,
           t->used_threads == 1 ? "" : "s", t->n_ctx);
    printf("%-7s%10s%6s%21s%8s%8s%11s     %-7s%9s%9s%10s\n", "", "file", "bits", "divergence (nats)", "99 %", "top",
           "perplexity", "", "prefill", "decode", "memory");
    print_one(&t->model);
    for (int i = 0; i < t->n; i++) {
        print_one(&t->each[i]);
        if (t->keep)
            printf("%7s%s\n", "", t->each[i].path);
    }
    if (t->others > 5)
        printf("%.0f %% of the machine went to others: speeds are too low, how many times IN's they are is nearer\n",
               t->others);
    putchar('\n');
    trade_picture(stdout, &t->trade, t->point, t->n, width);
    printf("\n%s\n", trade_advice(text, &t->trade, t->point, t->model.bytes));
    for (int step = -1; step <= 1; step += 2)
        if (trade_neighbour(text, &t->trade, t->point, step)[0])
            puts(text);
}

/* ---- CSV ---- */

static void print_row(const struct trial *t, const struct trial_one *one)
{
    bool knee = t->trade.kind == TRADE_KNEE && t->trade.take >= 0 && one == &t->each[t->trade.take];
    printf("%s,%llu,%.6g,", name_of(one), (unsigned long long)one->bytes, one->bits);
    if (one->mix)
        printf("%.9g,%.9g,%.9g,%.6g,", one->kld.mean, one->kld.standard_error, one->kld.p99, one->kld.same_top);
    else
        printf(",,,,");
    printf("%.9g,%.9g,%.6g,%.6g,", score_perplexity(&one->score), score_standard_error(&one->score), one->prefill,
           one->decode);
    if (one->mix)
        printf("%.6g,%.6g,", one->prefill_times, one->decode_times);
    else
        printf("1,1,");
    printf("%llu,%d\n", (unsigned long long)one->planned_bytes, knee);
}

void trial_print_rows(const struct trial *t)
{
    puts("type,file_bytes,bits_per_weight,kld_mean_nats,kld_standard_error_nats,kld_p99_nats,same_top_share,"
         "perplexity,perplexity_standard_error,prefill_tokens_per_s,decode_tokens_per_s,prefill_times_in,"
         "decode_times_in,planned_bytes,knee");
    print_row(t, &t->model);
    for (int i = 0; i < t->n; i++)
        print_row(t, &t->each[i]);
}

/* ---- JSON ---- */

static json_t *one_json(const struct trial *t, const struct trial_one *one)
{
    json_t *o = json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:I}", "file_bytes", (json_int_t)one->bytes,
                          "bits_per_weight", one->bits, "perplexity", score_perplexity(&one->score),
                          "perplexity_standard_error", score_standard_error(&one->score), "prefill_tokens_per_s",
                          one->prefill, "decode_tokens_per_s", one->decode, "planned_bytes",
                          (json_int_t)one->planned_bytes);
    if (!one->mix)
        return o;
    json_t *more = json_pack("{s:s, s:o, s:f, s:f, s:f, s:f, s:f, s:f}", "type", one->mix->name, "path",
                             t->keep ? json_of_text(one->path) : json_null(), "kld_mean_nats", one->kld.mean,
                             "kld_standard_error_nats", one->kld.standard_error, "kld_p99_nats", one->kld.p99,
                             "same_top_share", one->kld.same_top, "prefill_times_in", one->prefill_times,
                             "decode_times_in", one->decode_times);
    if (!o || !more || json_object_update(o, more) != 0) {
        json_decref(o);
        o = NULL;
    }
    json_decref(more);
    return o;
}

static json_t *name_json(const struct trial *t, int i)
{
    return i < 0 ? json_null() : json_string(t->point[i].name);
}

static json_t *advice_json(const struct trial *t)
{
    char text[TRADE_SENTENCE_BYTES];
    const struct trade *r = &t->trade;
    return json_pack("{s:o, s:o, s:o, s:o, s:f, s:s}", "knee", name_json(t, r->kind == TRADE_KNEE ? r->take : -1),
                     "take", name_json(t, r->take), "next_smaller", name_json(t, r->smaller), "next_larger",
                     name_json(t, r->larger), "bend", r->bend, "why",
                     trade_advice(text, r, t->point, t->model.bytes));
}

bool trial_print_object(const struct trial *t, hearth_error *err)
{
    bool ok = true;
    json_t *list = json_array();
    for (int i = 0; i < t->n; i++)
        ok &= json_array_append_new(list, one_json(t, &t->each[i])) == 0;
    json_t *all = json_pack("{s:o, s:o, s:o, s:i, s:i, s:i, s:s, s:i, s:i, s:f, s:o, s:o}", "model",
                            json_of_text(t->in), "in", one_json(t, &t->model), "text", json_of_text(text_name(t)),
                            "n_windows", (int)t->windows.n, "n_window_tokens", t->windows.n_tokens,
                            "n_scored_tokens", (int)t->model.score.n, "isa", hearth_isa(NULL),
                            "n_threads", t->used_threads,
                            "n_ctx_tokens", t->n_ctx, "others_percent", t->others, "candidates", list, "advice",
                            advice_json(t));
    if (!ok) {
        json_decref(all);
        all = NULL;
    }
    return json_print(all, JSON_INDENT(2) | JSON_REAL_PRECISION(15), "the JSON of the comparison", err);
}
