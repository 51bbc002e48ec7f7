/* compare_report.c: what `hearth compare` prints: a table and a picture for people, rows for spreadsheets, JSON. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/compare.h"
#include "cli/json_out.h"
#include "cli/receipt_text.h"
#include "cli/units.h"

enum { CELL_BYTES = 64, LABEL = 9, MOST_PICTURED = 8 };

/* ---- the table ---- */

/* A figure as text, right-aligned by whoever prints it; "-": not known. */
static const char *cell(char out[CELL_BYTES], enum compare_figure f, double v)
{
    char units[UNITS_BYTES];
    if (isnan(v))
        return strcpy(out, "-");
    switch (f) {
    case COMPARE_CONNECT:
    case COMPARE_FIRST:
    case COMPARE_WRITE:
    case COMPARE_TOTAL:
        snprintf(out, CELL_BYTES, "%s", text_of_ms(units, v));
        break;
    case COMPARE_RATE:
        snprintf(out, CELL_BYTES, "%.*f", v < 10 ? 2 : v < 1000 ? 1 : 0, v);
        break;
    case COMPARE_RESIDENT:
        snprintf(out, CELL_BYTES, "%s", text_of_bytes(units, (uint64_t)v));
        break;
    default:
        snprintf(out, CELL_BYTES, "%.6g", v);
    }
    return out;
}

/* What an answer cost: money there, here nothing and energy where it is counted. */
static const char *cost_cell(char out[CELL_BYTES], const struct comparison *c, int side, double price, double joules)
{
    char money[PRICE_TEXT_BYTES];
    if (side == COMPARE_API && !isnan(price) && c->price)
        snprintf(out, CELL_BYTES, "%s", price_text(money, price, c->price->currency));
    else if (side == COMPARE_LOCAL && !isnan(price))
        snprintf(out, CELL_BYTES, isnan(joules) ? "0" : "0, %.*f J", joules < 10 ? 2 : 0, joules);
    else
        snprintf(out, CELL_BYTES, "-");
    return out;
}

static void print_row(const struct comparison *c, const char *label, const double f[COMPARE_N_FIGURES], int side)
{
    static const struct {
        enum compare_figure figure;
        int width;
    } columns[] = { { COMPARE_FIRST, 9 },  { COMPARE_WRITE, 9 },  { COMPARE_TOTAL, 9 },   { COMPARE_RATE, 8 },
                    { COMPARE_PROMPT, 7 }, { COMPARE_OUTPUT, 7 }, { COMPARE_RESIDENT, 9 } };
    char text[CELL_BYTES];
    printf("  %-*s", LABEL - 2, label);
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        printf("%*s", columns[i].width, cell(text, columns[i].figure, f[columns[i].figure]));
    printf("%13s\n", cost_cell(text, c, side, f[COMPARE_PRICE], f[COMPARE_ENERGY]));
}

/* Up to `most` bytes in quotes, in one line. */
static void print_quoted(const char *text, size_t n, size_t most)
{
    char line[80];
    size_t shown = min_size(n, min_size(most, sizeof line - 1));
    while (shown > 0 && shown < n && (text[shown] & 0xc0) == 0x80)
        shown--;
    memcpy(line, text, shown);
    line[shown] = 0;
    putchar('\'');
    print_in_line(stdout, line);
    printf("%s'", shown < n ? "..." : "");
}

static void print_word(struct str word)
{
    if (word.len == 0)
        fputs("the end", stdout);
    else
        print_quoted(word.ptr, word.len, 64);
}

static void print_divergence(const struct compare_prompt *p)
{
    const struct compare_answers *a = &p->side[COMPARE_LOCAL], *b = &p->side[COMPARE_API];
    struct divergence d;
    if (a->n_ok == 0 || b->n_ok == 0)
        return;
    divergence_find(&d, buf_str(&a->text), buf_str(&b->text));
    if (d.same) {
        printf("  the same text (%zu characters)", d.n_chars);
    } else {
        printf("  the texts part after %zu characters (%zu bytes): ", d.n_chars, d.byte);
        print_word(d.word[0]);
        fputs(" here, ", stdout);
        print_word(d.word[1]);
        fputs(" there", stdout);
    }
    for (int side = 0; side < COMPARE_N_SIDES; side++)
        if (p->side[side].n_same < p->side[side].n_ok)
            printf("; %s: another text in %d of %d runs", compare_side_name[side],
                   p->side[side].n_ok - p->side[side].n_same, p->side[side].n_ok);
    putchar('\n');
}

static void print_side(const struct comparison *c, const struct compare_prompt *p, int side)
{
    const struct compare_answers *a = &p->side[side];
    double f[COMPARE_N_FIGURES];
    for (int i = 0; i < COMPARE_N_FIGURES; i++)
        f[i] = compare_median(c, p, side, (enum compare_figure)i);
    if (a->n_ok > 0)
        print_row(c, compare_side_name[side], f, side);
    if (f[COMPARE_CACHED] > 0)
        printf("  %-*sof its prompt, %.0f tokens were there before it was asked\n", LABEL - 2, "", f[COMPARE_CACHED]);
    if (a->n_failed > 0) {
        printf("  %-*s", LABEL - 2, a->n_ok > 0 ? "" : compare_side_name[side]);
        if (c->n_runs > 1)
            printf("%d of %d ", a->n_failed, c->n_runs);
        fputs("failed: ", stdout);
        print_in_line(stdout, a->error);
        putchar('\n');
    }
}

static void print_given(const struct comparison *c)
{
    const char *key, *separator = "given to both: ";
    json_t *v;
    json_object_foreach((json_t *)c->given, key, v) {
        char number[40];
        printf("%s%s ", separator, key);
        separator = ", ";
        if (json_is_array(v))
            printf("(%zu)", json_array_size(v));
        else if (json_is_integer(v))
            printf("%lld", (long long)json_integer_value(v));
        else if (snprintf(number, sizeof number, "%.9g", json_real_value(v)) > 0)
            fputs(number, stdout);
    }
    puts("; the rest is each side's own");
}

static void print_head(const struct comparison *c)
{
    printf("local  ");
    print_in_line(stdout, c->local_model);
    bool energy = !isnan(compare_median_of_all(c, COMPARE_LOCAL, COMPARE_ENERGY));
    printf(", %s, %d thread%s%s\napi    %s, ", c->isa, c->n_threads, c->n_threads == 1 ? "" : "s",
           energy ? "" : "; energy not available", c->place);
    print_in_line(stdout, c->api_model);
    if (c->price)
        printf("; a million tokens in %.6g, out %.6g %s, as of %s", c->price->input, c->price->output,
               c->price->currency, c->price->date);
    else
        fputs("; no price in the settings", stdout);
    printf("\n%s, %d prompt%s, %d run%s\n", c->chat ? "conversations of one message" : "texts that go on", c->n_prompts,
           c->n_prompts == 1 ? "" : "s", c->n_runs, c->n_runs == 1 ? "" : "s");
    print_given(c);
}

/* ---- the picture ---- */

/* Waiting and writing on a scale of ms for a column. */
static void print_bar(const char *label, double first, double write, double ms_a_column, int width)
{
    char total[UNITS_BYTES];
    if (isnan(first))
        return;
    double end = first + (isnan(write) ? 0 : write);
    int n_first = (int)(first / ms_a_column + 0.5), n_end = (int)(end / ms_a_column + 0.5);
    n_end = max_int(min_int(n_end, width), 1);
    printf("%-*s", LABEL, label);
    for (int i = 0; i < n_end; i++)
        putchar(i < n_first ? '.' : '#');
    printf(" %s\n", text_of_ms(total, end));
}

static double longest_of(const struct comparison *c, double at_least)
{
    double longest = at_least;
    for (int i = 0; i < c->n_prompts && c->n_prompts <= MOST_PICTURED; i++) {
        for (int side = 0; side < COMPARE_N_SIDES; side++) {
            double first = compare_median(c, &c->prompt[i], side, COMPARE_FIRST);
            double write = compare_median(c, &c->prompt[i], side, COMPARE_WRITE);
            longest = fmax(longest, first + (isnan(write) ? 0 : write)); /* fmax passes over NaN */
        }
    }
    return longest;
}

static void print_picture(const struct comparison *c, const double median[][COMPARE_N_FIGURES], int width)
{
    enum { TIME = 14 };
    double longest = 0;
    for (int side = 0; side < COMPARE_N_SIDES; side++)
        longest = fmax(longest, median[side][COMPARE_FIRST]
                                    + (isnan(median[side][COMPARE_WRITE]) ? 0 : median[side][COMPARE_WRITE]));
    longest = longest_of(c, longest);
    if (!(longest > 0))
        return;
    int room = width - LABEL - TIME;
    puts("\n. waiting for the first token   # writing");
    for (int i = 0; c->n_prompts > 1 && c->n_prompts <= MOST_PICTURED && i < c->n_prompts; i++) {
        for (int side = 0; side < COMPARE_N_SIDES; side++) {
            char label[24];
            snprintf(label, sizeof label, "%d %s", i + 1, compare_side_name[side]);
            print_bar(label, compare_median(c, &c->prompt[i], side, COMPARE_FIRST),
                      compare_median(c, &c->prompt[i], side, COMPARE_WRITE), longest / room, room);
        }
    }
    for (int side = 0; side < COMPARE_N_SIDES; side++)
        print_bar(compare_side_name[side], median[side][COMPARE_FIRST], median[side][COMPARE_WRITE], longest / room,
                  room);
}

void compare_print_text(const struct comparison *c, int width)
{
    double median[COMPARE_N_SIDES][COMPARE_N_FIGURES];
    print_head(c);
    printf("\n%-*s%9s%9s%9s%8s%7s%7s%9s%13s\n", LABEL, "", "waiting", "writing", "total", "tok/s", "prompt",
           "output", "memory", "price");
    for (int i = 0; i < c->n_prompts; i++) {
        printf("%d ", i + 1);
        print_quoted(c->prompt[i].text, strlen(c->prompt[i].text), 60);
        putchar('\n');
        for (int side = 0; side < COMPARE_N_SIDES; side++)
            print_side(c, &c->prompt[i], side);
        print_divergence(&c->prompt[i]);
    }
    for (int side = 0; side < COMPARE_N_SIDES; side++)
        for (int f = 0; f < COMPARE_N_FIGURES; f++)
            median[side][f] = compare_median_of_all(c, side, (enum compare_figure)f);
    if (c->n_prompts > 1)
        printf("median of %d prompts\n", c->n_prompts);
    for (int side = 0; side < COMPARE_N_SIDES && c->n_prompts > 1; side++)
        if (!isnan(median[side][COMPARE_TOTAL]))
            print_row(c, compare_side_name[side], median[side], side);
    print_picture(c, median, width);
}

/* ---- CSV ---- */

/* In quotes where a comma or a quote would be read wrongly; on one line. */
static void print_field(const char *text)
{
    char line[2 * COMPARE_ERROR_BYTES];
    size_t n = 0;
    bool quotes = text[strcspn(text, ",\"\r\n")] != 0;
    for (const char *p = text; *p && n + 2 < sizeof line; p++) {
        if (*p == '"')
            line[n++] = '"';
        line[n++] = *p;
    }
    line[n] = 0;
    fputs(quotes ? "\"" : "", stdout);
    print_in_line(stdout, line);
    fputs(quotes ? "\"" : "", stdout);
}

static void print_csv_row(const struct comparison *c, int prompt, int run, int side)
{
    const struct compare_answers *a = &c->prompt[prompt].side[side];
    const struct compare_run *r = &a->run[run];
    printf("%d,%d,%s,%d,%s", prompt + 1, run + 1, compare_side_name[side], r->was_first, r->ok ? "ok" : "failed");
    for (int f = 0; f < COMPARE_N_FIGURES; f++) {
        if (isnan(r->figure[f]))
            putchar(',');
        else
            printf(",%.9g", r->figure[f]);
    }
    printf(",%s,", side == COMPARE_API && c->price ? c->price->currency : "");
    print_field(r->finish);
    putchar(',');
    print_field(r->ok ? "" : a->error);
    putchar('\n');
}

void compare_print_csv(const struct comparison *c)
{
    fputs("prompt,run,side,was_first,status", stdout);
    for (int f = 0; f < COMPARE_N_FIGURES; f++)
        printf(",%s", compare_key[f]);
    puts(",currency,finish_reason,error");
    for (int run = 0; run < c->n_runs; run++)
        for (int i = 0; i < c->n_prompts; i++)
            for (int side = 0; side < COMPARE_N_SIDES; side++)
                if (c->prompt[i].side[side].run[run].asked)
                    print_csv_row(c, i, run, side);
}

/* ---- JSON ---- */

static json_t *of_figure(double v) { return isnan(v) ? json_null() : json_real(v); }

static bool put_figures(json_t *o, const double f[COMPARE_N_FIGURES])
{
    bool ok = o != NULL;
    for (int i = 0; ok && i < COMPARE_N_FIGURES; i++) {
        bool whole = !isnan(f[i]) && f[i] == floor(f[i]) && strncmp(compare_key[i], "n_", 2) == 0;
        whole |= i == COMPARE_RESIDENT && !isnan(f[i]);
        ok = json_object_set_new(o, compare_key[i], whole ? json_integer((json_int_t)f[i]) : of_figure(f[i])) == 0;
    }
    return ok;
}

/* list and o are taken; false: memory is out. */
static bool append(json_t *list, json_t *o, bool ok)
{
    if (ok && o)
        return json_array_append_new(list, o) == 0;
    json_decref(o);
    return false;
}

static json_t *runs_json(const struct comparison *c, const struct compare_answers *a, bool *ok)
{
    json_t *list = json_array();
    for (int r = 0; r < c->n_runs && *ok; r++) {
        const struct compare_run *run = &a->run[r];
        if (!run->asked)
            continue;
        json_t *o = json_pack("{s:b, s:b, s:o, s:s?, s:s}", "ok", run->ok, "was_first", run->was_first, "http_status",
                              run->http_status ? json_integer(run->http_status) : json_null(), "finish_reason",
                              run->finish[0] ? run->finish : NULL, "n_output_tokens_from",
                              run->by_pieces ? "pieces" : "count");
        *ok = append(list, o, put_figures(o, run->figure));
    }
    return list;
}

static json_t *side_json(const struct comparison *c, const struct compare_prompt *p, int side, bool *ok)
{
    const struct compare_answers *a = &p->side[side];
    double f[COMPARE_N_FIGURES];
    for (int i = 0; i < COMPARE_N_FIGURES; i++)
        f[i] = compare_median(c, p, side, (enum compare_figure)i);
    json_t *o = json_pack("{s:i, s:i, s:i, s:o, s:o, s:o}", "n_ok", a->n_ok, "n_same_text", a->n_same, "n_failed",
                          a->n_failed, "error", a->error[0] ? json_of_text(a->error) : json_null(), "text",
                          a->n_ok ? json_stringn(a->text.ptr ? a->text.ptr : "", a->text.len) : json_null(), "thinking",
                          a->thinking.len ? json_stringn(a->thinking.ptr, a->thinking.len) : json_null());
    *ok &= put_figures(o, f) && json_object_set_new(o, "runs", runs_json(c, a, ok)) == 0;
    return o;
}

static json_t *divergence_json(const struct compare_prompt *p)
{
    const struct compare_answers *a = &p->side[COMPARE_LOCAL], *b = &p->side[COMPARE_API];
    struct divergence d;
    if (a->n_ok == 0 || b->n_ok == 0)
        return json_null();
    divergence_find(&d, buf_str(&a->text), buf_str(&b->text));
    if (d.same)
        return json_pack("{s:b, s:n, s:n, s:n, s:n}", "same", 1, "at_byte", "at_char", "local_word", "api_word");
    return json_pack("{s:b, s:I, s:I, s:o, s:o}", "same", 0, "at_byte", (json_int_t)d.byte, "at_char",
                     (json_int_t)d.n_chars, "local_word", json_stringn(d.word[0].ptr, d.word[0].len), "api_word",
                     json_stringn(d.word[1].ptr, d.word[1].len));
}

static json_t *prompts_json(const struct comparison *c, bool *ok)
{
    json_t *list = json_array();
    for (int i = 0; i < c->n_prompts && *ok; i++) {
        const struct compare_prompt *p = &c->prompt[i];
        json_t *o = json_pack("{s:s, s:o, s:o, s:o}", "prompt", p->text, compare_side_name[0],
                              side_json(c, p, COMPARE_LOCAL, ok), compare_side_name[1],
                              side_json(c, p, COMPARE_API, ok), "divergence", divergence_json(p));
        *ok = append(list, o, *ok);
    }
    return list;
}

static json_t *median_json(const struct comparison *c, int side, bool *ok)
{
    double f[COMPARE_N_FIGURES];
    json_t *o = json_object();
    for (int i = 0; i < COMPARE_N_FIGURES; i++)
        f[i] = compare_median_of_all(c, side, (enum compare_figure)i);
    *ok &= put_figures(o, f);
    return o;
}

static json_t *price_json(const struct price *p)
{
    if (!p)
        return json_null();
    return json_pack("{s:s, s:s, s:s, s:f, s:f, s:f}", "model", p->model, "currency", p->currency, "date", p->date,
                     "input_per_million_tokens", p->input, "cached_input_per_million_tokens", p->cached,
                     "output_per_million_tokens", p->output);
}

bool compare_print_json(const struct comparison *c, hearth_error *err)
{
    bool ok = true;
    json_t *all = json_pack(
        "{s:{s:o, s:s, s:s, s:i}, s:{s:s, s:o, s:o, s:o}, s:s, s:i, s:O, s:o, s:{s:o, s:o}}", "local", "model",
        json_of_text(c->local_model), "identity", c->identity, "isa", c->isa, "n_threads", c->n_threads, "api",
        "server",
        c->place, "model", json_of_text(c->api_model), "answered_model",
        c->api_said[0] ? json_string(c->api_said) : json_null(),
        "price", price_json(c->price), "form", c->chat ? "chat" : "text", "n_runs", c->n_runs, "given", c->given,
        "prompts", prompts_json(c, &ok), "median", "local", median_json(c, COMPARE_LOCAL, &ok), "api",
        median_json(c, COMPARE_API, &ok));
    if (!ok) {
        json_decref(all);
        all = NULL;
    }
    return json_print(all, JSON_INDENT(2) | JSON_REAL_PRECISION(9), "the JSON of the comparison", err);
}
