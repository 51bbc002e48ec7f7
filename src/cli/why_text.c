#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "base/utf8.h"
#include "cli/receipt_text.h"
#include "cli/units.h"
#include "cli/why.h"

enum { LABEL = 9, BAR = 60, TEXT_WIDTH = 18 };

static const json_t *at(const struct recording *r, const char *object, const char *key)
{
    return json_object_get(json_object_get(r->receipt, object), key);
}

static void label(const char *name) { printf("%-*s", LABEL, name); }

static void line(const char *name, const char *text)
{
    label(name);
    print_in_line(stdout, text);
    putchar('\n');
}

/* ---- the receipt ---- */

static void print_time(const struct recording *r)
{
    struct explained_time t;
    char bar[BAR + 1], total[UNITS_BYTES];
    explain_time(&t, r->receipt);
    explain_bar(&t, BAR, bar);
    label("time");
    printf("[%s] %s\n%*s", bar, text_of_ms(total, t.total_ms), LABEL, "");
    const char *separator = "";
    for (int i = 0; i < EXPLAIN_N_PARTS; i++) {
        if (!(t.ms[i] >= 0.05))
            continue;
        printf("%s%c %s %.1f ms", separator, explain_part_letter((enum explain_part)i),
               explain_part_name((enum explain_part)i), t.ms[i]);
        separator = ", ";
    }
    putchar('\n');
}

/* Sentences, one a line, with the label before the first. */
static void print_sentences(const char *name, struct buf *text)
{
    char *save = NULL;
    if (text->failed)
        line(name, "(out of memory)");
    for (char *s = text->len ? strtok_r(text->ptr, "\n", &save) : NULL; s; s = strtok_r(NULL, "\n", &save)) {
        line(name, s);
        name = "";
    }
    buf_free(text);
}

/* A stop text by its number: the request's come first. */
static void print_stop(const struct recording *r)
{
    int which = -1;
    if (!r->request || sscanf(recording_text(r, "finish", "detail"), "stop text %d", &which) != 1)
        return;
    const char *text = json_string_value(json_array_get(json_object_get(r->request, "stop"), (size_t)which));
    fputs(text ? ": \"" : ": the template's end of an answer", stdout);
    if (text)
        print_in_line(stdout, text);
    fputs(text ? "\"" : "", stdout);
}

void why_print_receipt(const struct recording *r, hearth_file *file)
{
    struct buf prefix = { 0 }, trouble = { 0 };
    long long n_prompt = json_integer_value(at(r, "prefill", "n_prompt_tokens"));
    long long n_output = json_integer_value(at(r, "decode", "n_output_tokens"));
    long long n_ctx = json_integer_value(json_object_get(r->receipt, "n_ctx_tokens"));
    const char *id = json_string_value(json_object_get(r->receipt, "request_id"));
    line("request", id ? id : "");
    line("model", recording_text(r, "model", "name"));
    line("verdict", recording_text(r, "verdict", "sentence"));
    print_time(r);
    explain_trouble(r->receipt, &trouble);
    print_sentences("", &trouble);
    label("context");
    printf("%lld of %lld tokens (%.1f %%): %lld of the prompt, %lld of the answer\n", n_prompt + n_output, n_ctx,
           n_ctx > 0 ? 100.0 * (double)(n_prompt + n_output) / (double)n_ctx : 0, n_prompt, n_output);
    explain_prefix(r->receipt, file, r->prompt, r->n_prompt, &prefix);
    print_sentences("cache", &prefix);
    label("end");
    print_in_line(stdout, recording_text(r, "finish", "detail"));
    print_stop(r);
    const json_t *circle = at(r, "finish", "repetition");
    if (json_is_object(circle))
        printf(": it went round in a circle of %lld tokens, %lld times",
               (long long)json_integer_value(json_object_get(circle, "n_tokens")),
               (long long)json_integer_value(json_object_get(circle, "n_times")));
    if (n_output == 0)
        fputs("; the answer is empty", stdout);
    putchar('\n');
}

/* ---- the prompt ---- */

/* Text of strangers on several lines: what moves a cursor, and what is no text, by number. Of tokens together, for one
 * may have a part of a character. */
static void print_lines(const struct buf *text)
{
    const uint8_t *p = (const uint8_t *)text->ptr;
    for (size_t i = 0; i < text->len;) {
        int length = utf8_length(p + i, text->len - i, NULL, NULL);
        uint32_t c = length > 0 ? utf8_code_point(p + i, length) : 0;
        bool shown = length > 0 && c >= 0x20 && !(c >= 0x7f && c < 0xa0);
        if (c == '\n')
            printf("\n%*s", LABEL, "");
        else if (shown)
            fwrite(p + i, 1, (size_t)length, stdout);
        else
            printf("\\x%02x", p[i]);
        i += shown || c == '\n' ? (size_t)length : 1;
    }
}

void why_print_prompt(const struct recording *r, hearth_file *file)
{
    struct buf all = { 0 };
    for (size_t i = 0; i < r->n_prompt; i++) {
        size_t n = 0;
        bool special = hearth_file_token_special(file, r->prompt[i]);
        const char *text = hearth_file_token_text(file, r->prompt[i], &n);
        buf_puts(&all, special ? "\xe2\x9f\xa6" : ""); /* U+27E6, U+27E7: no vocabulary's special tokens have them */
        buf_put(&all, text ? text : "", text ? n : 0);
        buf_puts(&all, special ? "\xe2\x9f\xa7" : "");
    }
    label("prompt");
    if (all.failed)
        fputs("(out of memory)", stdout);
    else
        print_lines(&all);
    putchar('\n');
    buf_free(&all);
}

/* ---- tokens ---- */

static const char *percent(char out[16], float logprob)
{
    double p = 100 * exp((double)logprob);
    if (!(logprob > -INFINITY))
        return "-";
    snprintf(out, 16, p >= 0.01 || p == 0 ? "%.2f" : "%.0e", p);
    return out;
}

/* A token in a column of so many characters, cut where it is longer. */
static void print_token(hearth_file *file, int32_t id)
{
    struct buf text = { 0 };
    explain_token(file, id, &text);
    int width = 0;
    size_t i = 0;
    for (; i < text.len && width < TEXT_WIDTH; i++) {
        bool begins = ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
        width += begins;
    }
    while (i < text.len && ((unsigned char)text.ptr[i] & 0xc0) == 0x80)
        i++;
    printf("%.*s%*s", (int)i, text.len ? text.ptr : "", TEXT_WIDTH - width, "");
    buf_free(&text);
}

void why_print_head(void)
{
    printf("\n%7s  %-*s %8s %8s %6s %7s %6s\n", "token", TEXT_WIDTH, "text", "model %", "drawn %", "rank", "left",
           "bits");
}

void why_print_row(hearth_file *file, size_t index, const hearth_choice *c, bool end)
{
    char model[16], drawn[16];
    const hearth_choice_step *last = &c->steps[c->n_steps - 1];
    int i = explain_chosen(c);
    if (end)
        printf("%7s  ", "end");
    else
        printf("%7zu  ", index);
    print_token(file, c->id);
    printf(" %8s %8s %6d %7d %6.2f\n", percent(model, c->steps[0].logprobs[i]), percent(drawn, last->logprobs[i]),
           c->rank + 1, last->n_candidates, (double)c->steps[0].entropy_bits);
}

static void print_removals(const hearth_choice *c)
{
    for (int s = 1; s < c->n_steps; s++) {
        int n = c->steps[s - 1].n_candidates - c->steps[s].n_candidates;
        if (n > 0)
            printf("%s left %d of %d, %.2f bits\n", hearth_step_name(c->steps[s].step), c->steps[s].n_candidates,
                   c->steps[s - 1].n_candidates, (double)c->steps[s].entropy_bits);
        else
            printf("%s changed what is likely: %.2f bits\n", hearth_step_name(c->steps[s].step),
                   (double)c->steps[s].entropy_bits);
    }
    if (isnan(c->draw))
        puts("nothing was drawn: the likeliest that was left came");
    else
        printf("of what was left, the random number %.4f drew it\n", (double)c->draw);
}

void why_print_choice(hearth_file *file, size_t index, const hearth_choice *c, bool end)
{
    char p[16];
    struct buf text = { 0 };
    explain_token(file, c->id, &text);
    printf("%s %zu is %s\n", end ? "the end, in place of token" : "token", index, text.ptr ? text.ptr : "");
    buf_free(&text);
    printf("the model had %d tokens with %.2f bits between them, %d of them likelier than this one\n",
           c->steps[0].n_candidates, (double)c->steps[0].entropy_bits, c->rank);
    print_removals(c);
    printf("\n  %-*s", TEXT_WIDTH, "in %, after");
    for (int s = 0; s < c->n_steps; s++)
        printf(" %11s", hearth_step_name(c->steps[s].step));
    putchar('\n');
    for (int i = 0; i < c->n_tokens; i++) {
        const hearth_choice_step *gone = explain_removal(c, i);
        printf("%c ", c->ids[i] == c->id ? '*' : ' ');
        print_token(file, c->ids[i]);
        for (int s = 0; s < c->n_steps; s++)
            printf(" %11s", percent(p, c->steps[s].logprobs[i]));
        printf(gone ? "  removed by %s\n" : "\n", gone ? hearth_step_name(gone->step) : "");
    }
}
