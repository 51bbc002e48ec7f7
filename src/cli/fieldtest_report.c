/* fieldtest_report.c: the report to attach, for people and for programs. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/fieldtest.h"
#include "cli/json_out.h"
#include "cli/prompt_text.h"
#include "cli/units.h"

enum { FORMAT = 1, LABEL = 20, DAY_BYTES = 10 };

/* ---- for people ---- */

static void print_label(const char *label) { printf("%-*s", LABEL, label); }

static void print_text(const char *text) { visible_print(stdout, text, strlen(text)); }

static void print_who(const struct fieldtest *t, const char *day)
{
    char bytes[UNITS_BYTES], count[UNITS_BYTES];
    const struct fieldtest_facts *f = &t->facts;
    printf("field test of %.*s\n\n", DAY_BYTES, day);
    print_label("hearth");
    printf("%s, arithmetic revision %d, %s\n", hearth_version(), hearth_arithmetic_revision(), hearth_isa(NULL));
    print_label("model");
    print_text(t->file_name);
    printf(": ");
    print_text(t->info.architecture);
    printf(", %s parameters, %s, %s\n", text_of_count(count, t->info.n_parameters),
           text_of_bytes(bytes, t->info.file_bytes), t->info.types);
    print_label("identity");
    puts(hearth_model_identity(t->model));
    if (t->template_from[0] && strcmp(t->template_from, "file") != 0) {
        print_label("template");
        print_text(t->template_from);
        puts(", not the file's own");
    }
    print_label("peer");
    printf("%s: build %s, model %s\n", t->peer.place.name, f->build[0] ? f->build : "not said",
           f->path[0] ? f->path : f->alias[0] ? f->alias : "not said");
    if (f->n_vocab < 0 && f->n_params < 0) {
        print_label("");
        puts("it does not say what the vocabulary and the number of parameters are");
    }
    if (f->has_our_template == 0) {
        print_label("");
        puts("its chat template is another text than the file's");
    }
    putchar('\n');
}

static void print_logprobs(struct fieldtest *t)
{
    const struct fieldtest_result *r = &t->kind[FIELDTEST_LOGPROBS];
    int n = r->n_equal + r->n_different;
    if (n == 0)
        return;
    printf("%-*s%zu entries of the likeliest %d that both name: |difference| median %.4f (limit %g), largest %.4f\n",
           LABEL, "", t->deltas.n, t->n_top, fieldtest_deltas_median(&t->deltas), t->limits.median, t->deltas.largest);
    printf("%-*sof those that one side gives 1 %% or more: largest %.4f (limit %g, for %s weights)\n", LABEL, "",
           t->deltas.largest_likely, t->limits.largest, t->limits.quantized ? "quantized" : "unquantized");
    printf("%-*sfirst tokens: %d of %d equal, %d more at a tie\n", LABEL, "", t->n_first_equal, n, t->n_first_ties);
    printf("%-*scontinuations of %d tokens: %d of %d equal, %d more part at a tie", LABEL, "", t->n_tokens, t->n_same,
           n, t->n_ties);
    if (t->earliest >= 0)
        printf("; the first parting is at token %d", t->earliest + 1);
    putchar('\n');
}

static void print_kind(struct fieldtest *t, enum fieldtest_kind kind)
{
    const struct fieldtest_result *r = &t->kind[kind];
    print_label(fieldtest_kind_names[kind]);
    if (r->nothing) {
        printf("%-12s%s\n", "-", r->nothing);
        return;
    }
    enum fieldtest_verdict verdict = fieldtest_kind_verdict(r);
    bool has_limits = kind == FIELDTEST_LOGPROBS || kind == FIELDTEST_VECTORS;
    printf("%-12s%d of %d %s", verdict == FIELDTEST_INCOMPLETE ? "untested" : fieldtest_verdict_names[verdict],
           r->n_equal, r->n, has_limits ? "within the limits" : "equal");
    if (r->n_different > 0)
        printf(", %d different", r->n_different);
    if (r->n_untested > 0)
        printf(", %d untested", r->n_untested);
    putchar('\n');
    if (r->untested[0]) {
        printf("%-*suntested: ", LABEL, "");
        print_text(r->untested);
        putchar('\n');
    }
    if (r->n_noted > 0)
        printf("%-*s%d %s\n", LABEL, "", r->n_noted, r->note);
    if (r->beyond[0])
        printf("%-*s%s\n", LABEL, "", r->beyond);
    if (kind == FIELDTEST_LOGPROBS)
        print_logprobs(t);
    if (kind == FIELDTEST_VECTORS && r->n_equal + r->n_different > 0)
        printf("%-*s1 - cosine: largest %.6f (limit %g)\n", LABEL, "", t->farthest, t->limits.cosine);
    if (t->n_cut > 0 && has_limits)
        printf("%-*s%d prompt%s cut to fit the context of %d tokens\n", LABEL, "", t->n_cut,
               t->n_cut == 1 ? " is" : "s are", t->n_ctx_tokens);
}

static void print_differences(const struct fieldtest *t, enum fieldtest_kind kind)
{
    const struct fieldtest_result *r = &t->kind[kind];
    for (int i = 0; i < r->n_shown; i++) {
        const struct fieldtest_difference *d = &r->shown[i];
        printf("\n%s, prompt %d: '%s'\n  here:  %s\n  there: %s\n", fieldtest_kind_names[kind], d->prompt, d->text,
               d->here, d->there);
    }
    if (r->n_different > r->n_shown)
        printf("\nand %d more of %s\n", r->n_different - r->n_shown, fieldtest_kind_names[kind]);
}

void fieldtest_print(struct fieldtest *t)
{
    char at[32];
    clock_utc(at);
    print_who(t, at);
    for (int kind = 0; kind < FIELDTEST_N_KINDS; kind++)
        print_kind(t, (enum fieldtest_kind)kind);
    putchar('\n');
    print_label("verdict");
    puts(fieldtest_verdict_names[fieldtest_verdict(t)]);
    for (int kind = 0; kind < FIELDTEST_N_KINDS; kind++)
        print_differences(t, (enum fieldtest_kind)kind);
}

/* ---- for programs ---- */

static json_t *text_or_null(const char *text) { return text && text[0] ? json_of_text(text) : json_null(); }

static json_t *count_or_null(int64_t n) { return n >= 0 ? json_integer(n) : json_null(); }

static json_t *differences_json(const struct fieldtest_result *r)
{
    json_t *list = json_array();
    bool failed = !list;
    for (int i = 0; i < r->n_shown; i++) {
        const struct fieldtest_difference *d = &r->shown[i];
        failed |= json_array_append_new(list, json_pack("{s:i, s:o, s:o, s:o}", "prompt", d->prompt, "text",
                                                        json_of_text(d->text), "here", json_of_text(d->here), "there",
                                                        json_of_text(d->there))) != 0;
    }
    if (!failed)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *kind_json(const struct fieldtest_result *r)
{
    if (r->nothing)
        return json_pack("{s:n, s:s}", "verdict", "nothing", r->nothing);
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:o, s:o, s:i, s:o, s:o}", "verdict",
                     fieldtest_verdict_names[fieldtest_kind_verdict(r)], "n", r->n, "n_equal", r->n_equal,
                     "n_different", r->n_different, "n_untested", r->n_untested, "untested", text_or_null(r->untested),
                     "beyond", text_or_null(r->beyond), "n_noted", r->n_noted, "note", text_or_null(r->note),
                     "differences", differences_json(r));
}

/* What the kind has besides. */
static json_t *figures_json(struct fieldtest *t)
{
    return json_pack("{s:i, s:i, s:I, s:f, s:f, s:f, s:i, s:i, s:i, s:i, s:o, s:i}", "n_top", t->n_top, "n_tokens",
                     t->n_tokens, "n_entries", (json_int_t)t->deltas.n, "median", fieldtest_deltas_median(&t->deltas),
                     "largest", t->deltas.largest, "largest_likely", t->deltas.largest_likely, "n_first_equal",
                     t->n_first_equal, "n_first_ties", t->n_first_ties, "n_same", t->n_same, "n_ties", t->n_ties,
                     "first_parting", t->earliest >= 0 ? json_integer(t->earliest + 1) : json_null(), "n_cut",
                     t->n_cut);
}

static json_t *kinds_json(struct fieldtest *t)
{
    json_t *o = json_object();
    bool ok = o != NULL;
    for (int kind = 0; ok && kind < FIELDTEST_N_KINDS; kind++) {
        json_t *one = kind_json(&t->kind[kind]);
        ok = one != NULL;
        if (ok && kind == FIELDTEST_LOGPROBS && !t->kind[kind].nothing)
            ok = json_object_set_new(one, "figures", figures_json(t)) == 0;
        if (ok && kind == FIELDTEST_VECTORS && !t->kind[kind].nothing)
            ok = json_object_set_new(one, "farthest", json_real(t->farthest)) == 0;
        ok = json_object_set_new(o, fieldtest_kind_keys[kind], one) == 0 && ok;
    }
    if (ok)
        return o;
    json_decref(o);
    return NULL;
}

static json_t *model_json(const struct fieldtest *t)
{
    return json_pack("{s:o, s:o, s:o, s:I, s:I, s:i, s:s, s:o}", "file", json_of_text(t->file_name), "architecture",
                     json_of_text(t->info.architecture), "types", json_of_text(t->info.types), "n_parameters",
                     (json_int_t)t->info.n_parameters, "bytes", (json_int_t)t->info.file_bytes, "n_vocab",
                     t->info.n_vocab, "identity", hearth_model_identity(t->model), "template",
                     json_of_text(t->template_from));
}

static json_t *peer_json(const struct fieldtest *t)
{
    const struct fieldtest_facts *f = &t->facts;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "server", json_of_text(t->peer.place.name), "build",
                     text_or_null(f->build), "model_path", text_or_null(f->path), "model_alias", text_or_null(f->alias),
                     "n_vocab", count_or_null(f->n_vocab), "n_params", count_or_null(f->n_params), "size",
                     count_or_null(f->n_bytes), "same_template",
                     f->has_our_template < 0 ? json_null() : json_boolean(f->has_our_template));
}

json_t *fieldtest_json(struct fieldtest *t)
{
    char at[32];
    const struct fieldtest_limits *l = &t->limits;
    clock_utc(at);
    at[DAY_BYTES] = 0;
    return json_pack("{s:i, s:s, s:s, s:{s:s, s:i, s:s}, s:o, s:o, s:{s:b, s:f, s:f, s:f}, s:o}", "fieldtest", FORMAT,
                     "date", at, "verdict", fieldtest_verdict_names[fieldtest_verdict(t)], "hearth", "version",
                     hearth_version(), "arithmetic_revision", hearth_arithmetic_revision(), "isa", hearth_isa(NULL),
                     "model", model_json(t), "peer", peer_json(t), "limits", "quantized", l->quantized, "median",
                     l->median, "largest_likely", l->largest, "cosine", l->cosine, "kinds", kinds_json(t));
}
