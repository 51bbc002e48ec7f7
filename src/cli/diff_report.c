/* diff_report.c: two answers side by side, for people. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/diff.h"
#include "cli/receipt_text.h"
#include "cli/token_lines.h"

enum { MOST_ROWS = 20, VALUE_BYTES = 60, HASH_BYTES = 16, COMMON_BYTES = 60 };

/* ---- what was asked ---- */

/* Hashes by their beginning; what has no value is none. */
static void print_value(const json_t *v)
{
    const char *text = json_string_value(v);
    char *made = v && !text ? json_dumps(v, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9)) : NULL;
    char shown[VALUE_BYTES + 4];
    const char *whole = text ? text : made ? made : "none";
    size_t most = text ? HASH_BYTES : VALUE_BYTES;
    snprintf(shown, sizeof shown, "%.*s%s", (int)most, whole, strlen(whole) > most ? "..." : "");
    print_in_line(stdout, shown);
    free(made);
}

static void print_head(const struct diff *d)
{
    for (int i = 0; i < 2; i++) {
        const struct diff_side *s = &d->side[i];
        printf("%c  ", s->label);
        print_in_line(stdout, recording_text(&s->recording, "model", "name"));
        printf(": %zu tokens, end: ", s->recording.n_output);
        print_in_line(stdout, diff_end(s));
        putchar('\n');
    }
    for (int i = 0; i < d->n_settings; i++) {
        const struct diff_setting *s = &d->settings[i];
        printf("another %s: A ", s->name);
        print_value(s->value[0]);
        fputs(", B ", stdout);
        print_value(s->value[1]);
        puts(s->idle ? " (no influence on the answer)" : "");
    }
}

/* ---- tokens ---- */

static void print_id(const struct diff_side *s, int32_t id)
{
    size_t n = 0;
    const char *text = hearth_file_token_text(s->file, id, &n);
    quoted_print(text ? text : "", n);
    printf(" (%d)", id);
}

static void print_token(const struct diff_side *s, size_t at)
{
    int32_t id = diff_token(s, at);
    if (id >= 0)
        print_id(s, id);
    if (at >= s->recording.n_output) {
        fputs(id >= 0 ? ", its end" : "ends: ", stdout);
        if (id < 0)
            print_in_line(stdout, diff_end(s));
    }
}

static void print_both(const struct diff *d, const char *what, size_t at)
{
    printf("%s %zu: A ", what, at);
    print_token(&d->side[0], at);
    fputs(", B ", stdout);
    print_token(&d->side[1], at);
    putchar('\n');
}

static void print_prompt_token(const struct diff_side *s, size_t at)
{
    if (at < s->recording.n_prompt)
        print_id(s, s->recording.prompt[at]);
    else
        printf("ends (%zu tokens)", s->recording.n_prompt);
}

static void print_prompts(const struct diff *d)
{
    if (d->prompt_at == SIZE_MAX) {
        printf("the prompt is the same: %zu tokens\n", d->side[0].recording.n_prompt);
        return;
    }
    printf("the prompts part at token %zu: A ", d->prompt_at);
    print_prompt_token(&d->side[0], d->prompt_at);
    fputs(", B ", stdout);
    print_prompt_token(&d->side[1], d->prompt_at);
    putchar('\n');
}

/* ---- where they part ---- */

static void print_probability(double logprob)
{
    if (isnan(logprob))
        fputs("-", stdout);
    else
        printf("%.4f", exp(logprob));
}

/* What one side's model gives each of the two tokens there. */
static void print_view(const struct diff *d, int which, const char *who)
{
    const struct divergence *g = &d->divergence;
    const struct divergence_side *s = &g->side[which];
    size_t at = g->probe_at;
    if (at >= s->n_ids - s->from)
        return;
    printf("  %s gives", who);
    for (int i = 0; i < 2; i++) {
        printf(" %s's token p ", i ? "B" : "A");
        print_probability(s->probe_logprob[i]);
        putchar(',');
    }
    fputs(" and finds ", stdout);
    print_id(&d->side[which], s->scored[at].likeliest);
    printf(" likeliest, p %.4f\n", exp(s->scored[at].likeliest_logprob));
}

/* The end of what both say, as far as the first tokens of the answer. */
static void print_common(const struct diff_side *s, size_t n_tokens)
{
    size_t end = 0;
    for (size_t i = 0; i < min_size(n_tokens, s->recording.n_output); i++) {
        size_t n = 0;
        if (hearth_file_token_text(s->file, s->recording.output[i], &n))
            end += n;
    }
    end = min_size(end, s->text.len);
    printf("the answers are the same for %zu tokens", n_tokens);
    if (end > 0) {
        size_t begin = end > COMMON_BYTES ? end - COMMON_BYTES : 0;
        while (begin < end && begin > 0 && ((unsigned char)s->text.ptr[begin] & 0xc0) == 0x80)
            begin++;
        fputs(begin > 0 ? ", at last ..." : ": ", stdout);
        quoted_print(s->text.ptr + begin, end - begin);
    }
    putchar('\n');
}

static bool as_recorded(const struct diff_side *s) { return !s->has_mixes || s->other_logits == SIZE_MAX; }

static void print_parting(const struct diff *d)
{
    const struct divergence *g = &d->divergence;
    size_t at = d->answer_at;
    bool one_view = g->same_ids && (g->one_model || g->apart[at].same_logits);
    if (at > 0)
        print_common(&d->side[0], at);
    print_both(d, "token", at);
    print_view(d, 0, one_view ? "the model" : "A's model");
    if (!one_view)
        print_view(d, 1, g->same_ids ? "B's model" : "B's model, after B's prompt,");
    else if (g->probe[0] >= 0 && g->probe[1] >= 0 && as_recorded(&d->side[0]) && as_recorded(&d->side[1]))
        puts("  the logits there are the same: what parts them is the choice, by seed and sampling");
}

static void print_answers(const struct diff *d)
{
    size_t n = d->side[0].recording.n_output;
    if (d->answer_at != SIZE_MAX) {
        print_parting(d);
    } else if (diff_same(d)) {
        printf("the same: %zu tokens and all logits\n", n);
    } else if (d->end_differs) {
        printf("all %zu tokens are the same, and the ends are not\n", n);
    } else {
        printf("all %zu tokens are the same, and %s not\n", n,
               d->prompt_at != SIZE_MAX ? "the prompts are" : "the logits are");
    }
}

static void print_texts(const struct diff *d)
{
    const struct vocabulary_difference *v = &d->vocabulary;
    if (v->n_a != v->n_b)
        printf("the vocabularies are others, A has %d tokens and B %d: texts are compared, tokens are not\n", v->n_a,
               v->n_b);
    else
        printf("the vocabularies are others from token %d on: texts are compared, tokens are not\n", v->id);
    if (d->text_at == SIZE_MAX) {
        printf("the texts are the same: %zu bytes\n", d->side[0].text.len);
        return;
    }
    printf("the texts part at byte %zu:\n", d->text_at);
    for (int i = 0; i < 2; i++) {
        size_t n;
        const char *words = diff_words(&d->side[i].text, d->text_at, &n);
        printf("  %c ", d->side[i].label);
        quoted_print(words, n);
        putchar('\n');
    }
}

/* ---- the distributions ---- */

struct place {
    double divergence;
    size_t at;
};

static int by_divergence(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->divergence != y->divergence)
        return x->divergence > y->divergence ? -1 : 1;
    return x->at < y->at ? -1 : 1;
}

static void print_row(const struct diff *d, size_t at)
{
    const struct divergence *g = &d->divergence;
    printf("%7zu  %10.6f  %8.4f  %8.4f  %-4s  ", at, g->apart[at].k.divergence, exp(g->side[0].scored[at].logprob),
           exp(g->side[1].scored[at].logprob), g->apart[at].k.same_top ? "yes" : "no");
    print_id(&d->side[0], g->side[0].ids[g->side[0].from + at]);
    putchar('\n');
}

static void print_largest(const struct diff *d, size_t n)
{
    const struct apart *apart = d->divergence.apart;
    struct place *places = mem_alloc(n * sizeof *places);
    size_t n_places = 0;
    if (!places) {
        puts("out of memory: the positions are not listed");
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (!apart[i].same_logits)
            places[n_places++] = (struct place){ apart[i].k.divergence, i };
    qsort(places, n_places, sizeof *places, by_divergence);
    puts("  token  divergence    p by A    p by B  same  the token that stands there");
    for (size_t i = 0; i < min_size(n_places, MOST_ROWS); i++)
        print_row(d, places[i].at);
    if (n_places > MOST_ROWS)
        printf("    ... and %zu with less; --json has all\n", n_places - MOST_ROWS);
    mem_free(places);
}

static void print_divergence(const struct diff *d)
{
    struct diff_summary s;
    size_t n = d->divergence.side[0].n_ids - d->divergence.side[0].from;
    const char *along = d->answer_at == SIZE_MAX ? "" : d->whole ? " along A's answer" : " up to there";
    if (n == 0)
        return;
    if (!diff_summarize(d, &s)) {
        puts("out of memory: the divergences are not summed up");
        return;
    }
    if (s.n_same_logits == n) {
        if (!diff_same(d))
            printf("divergence: 0 at each of %zu positions%s, for the logits are the same\n", n, along);
        return;
    }
    printf("divergence of B's distributions from A's at %zu positions%s, in nats: mean %.6f, median %.6f, largest "
           "%.6f\nthe same likeliest token at %zu of them, the same logits at %zu\n", n, along, s.k.mean, s.k.median,
           s.k.max, s.n_same_top, s.n_same_logits);
    print_largest(d, n);
}

static void print_own(const struct diff *d, int which, size_t at)
{
    const struct divergence_side *s = &d->divergence.side[which];
    if (at >= s->n_ids - s->from) {
        fputs("     -", stdout);
        return;
    }
    printf("%.4f  ", exp(s->scored[at].logprob));
    print_id(&d->side[which], s->ids[s->from + at]);
}

/* Each answer under its own prompt: the rows around the place where they part. */
static void print_apart(const struct diff *d)
{
    const struct divergence_side *a = &d->divergence.side[0], *b = &d->divergence.side[1];
    size_t n = max_size(a->n_ids - a->from, b->n_ids - b->from);
    size_t first = d->answer_at != SIZE_MAX && d->answer_at >= MOST_ROWS ? d->answer_at - MOST_ROWS / 2 : 0;
    puts("the prompts are others, so no position of one is a position of the other: each token after its own prompt");
    puts("  token  p, token of A | p, token of B");
    for (size_t i = first; i < min_size(n, first + MOST_ROWS); i++) {
        printf("%7zu  ", i);
        print_own(d, 0, i);
        fputs(" | ", stdout);
        print_own(d, 1, i);
        putchar('\n');
    }
    if (n > first + MOST_ROWS || first > 0)
        printf("    ... of %zu; --json has all\n", n);
}

static void print_recorded(const struct diff *d)
{
    for (int i = 0; i < 2; i++)
        if (!as_recorded(&d->side[i]))
            printf("%c: from token %zu on, logits computed here are not those that were recorded: another model, "
                   "another arithmetic revision (`hearth replay` tells)\n", d->side[i].label, d->side[i].other_logits);
}

void diff_print(const struct diff *d)
{
    print_head(d);
    if (!vocabularies_same(&d->vocabulary)) {
        print_texts(d);
        return;
    }
    print_prompts(d);
    print_answers(d);
    if (d->divergence.same_ids)
        print_divergence(d);
    else
        print_apart(d);
    print_recorded(d);
}
