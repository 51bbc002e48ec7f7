/* verify_report.c: what was found, for people and for programs. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/json_out.h"
#include "cli/prompt_text.h"
#include "cli/verify_report.h"

static const char *const level_names[] = { "note", "warning", "problem" };

/* ---- for people ---- */

/* Words of the file may have anything in them. */
static void print_safe(const char *text) { visible_print(stdout, text, strlen(text)); }

static void print_finding(const struct verify_finding *f)
{
    printf("\n%-8s %s: ", level_names[f->level], f->code);
    if (f->where[0]) {
        print_safe(f->where);
        fputs(": ", stdout);
    }
    print_safe(f->message);
    putchar('\n');
}

static void print_count(size_t n, const char *what) { printf("%zu %s%s", n, what, n == 1 ? "" : "s"); }

void verify_print(const struct verify *v, const char *model)
{
    printf("%-12s", "model");
    print_safe(model);
    putchar('\n');
    for (int i = 0; i < N_VERIFY_CHECKS; i++)
        printf("%-12s%s\n", verify_check_names[i], v->done[i] ? v->done[i] : "not looked at");
    for (size_t i = 0; i < v->n_sha256; i++)
        printf("%-12s%s\n", i == 0 ? "sha256" : "", v->sha256[i]);
    size_t n_problems = v->n_of_level[HEARTH_FINDING_PROBLEM], n_warnings = v->n_of_level[HEARTH_FINDING_WARNING];
    printf("%-12s", "result");
    if (n_problems > 0)
        print_count(n_problems, "problem");
    else
        fputs("healthy", stdout);
    if (n_warnings > 0) {
        fputs(", ", stdout);
        print_count(n_warnings, "warning");
    }
    putchar('\n');
    for (int level = HEARTH_FINDING_PROBLEM; level >= HEARTH_FINDING_NOTE; level--)
        for (size_t i = 0; i < v->n_found; i++)
            if ((int)v->found[i].level == level)
                print_finding(&v->found[i]);
    size_t n_more = n_problems + n_warnings + v->n_of_level[HEARTH_FINDING_NOTE] - v->n_found;
    if (n_more > 0)
        printf("\nand %zu more\n", n_more);
}

/* ---- for programs ---- */

static json_t *findings_json(const struct verify *v)
{
    json_t *list = json_array();
    bool failed = !list;
    for (size_t i = 0; i < v->n_found; i++) {
        const struct verify_finding *f = &v->found[i];
        failed |= json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o, s:o}", "check",
                                                        verify_check_names[f->check], "level", level_names[f->level],
                                                        "code", f->code, "where",
                                                        f->where[0] ? json_of_text(f->where) : json_null(), "message",
                                                        json_of_text(f->message))) != 0;
    }
    if (!failed)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *checks_json(const struct verify *v)
{
    json_t *o = json_object();
    bool failed = !o;
    for (int i = 0; i < N_VERIFY_CHECKS; i++)
        failed |= json_object_set_new(o, verify_check_names[i], v->done[i] ? json_of_text(v->done[i]) : json_null())
               != 0;
    if (!failed)
        return o;
    json_decref(o);
    return NULL;
}

static json_t *sha256_json(const struct verify *v)
{
    json_t *list = v->n_sha256 ? json_array() : json_null();
    bool failed = !list;
    for (size_t i = 0; i < v->n_sha256; i++)
        failed |= json_array_append_new(list, json_string(v->sha256[i])) != 0;
    if (!failed)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *figure(double x, bool measured) { return measured ? json_real(x) : json_null(); }

json_t *verify_json(const struct verify *v)
{
    char at[32];
    const char *path = v->source.path;
    bool measured = v->n_scored_tokens > 0;
    clock_utc(at);
    return json_pack("{s:b, s:o, s:s, s:s, s:s, s:s, s:i, s:s, s:I, s:I, s:o, s:o, s:o, s:I, s:o, s:o, s:o}", "ok",
                     v->n_of_level[HEARTH_FINDING_PROBLEM] == 0, "file", path ? json_of_text(path) : json_null(),
                     "identity", v->identity, "digest", v->digest, "at", at, "version", hearth_version(),
                     "arithmetic_revision", hearth_arithmetic_revision(), "isa", hearth_isa(NULL), "n_problems",
                     (json_int_t)v->n_of_level[HEARTH_FINDING_PROBLEM], "n_warnings",
                     (json_int_t)v->n_of_level[HEARTH_FINDING_WARNING], "bits_per_byte",
                     figure(v->bits_per_byte, measured), "chance_bits_per_byte",
                     figure(v->chance_bits_per_byte, measured), "nll", figure(v->nll, measured), "n_scored_tokens",
                     (json_int_t)v->n_scored_tokens, "sha256", sha256_json(v), "checks", checks_json(v), "findings",
                     findings_json(v));
}
