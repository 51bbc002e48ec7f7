#include "cli/opts.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/env.h"
#include "base/words.h"

const struct opt common_opts[N_COMMON] = {
    [COMMON_CONFIG] = { .name = "config", .type = OPT_TEXT, .value = "FILE",
                        .dflt = "~/.config/hearth/hearth.toml, else /etc/hearth/hearth.toml",
                        .help = "the settings file; none: no file is read" },
};

/* ---- spellings ---- */

static char fold(char c) { return c == '_' ? '-' : c; }

static bool same_spelling(const char *a, size_t n_a, const char *b, size_t n_b)
{
    if (n_a != n_b)
        return false;
    for (size_t i = 0; i < n_a; i++)
        if (fold(a[i]) != fold(b[i]))
            return false;
    return true;
}

bool opt_next_spelling(const struct opt *o, int *cursor, char out[OPT_SPELLING_BYTES])
{
    if (*cursor == 0) {
        snprintf(out, OPT_SPELLING_BYTES, "--%s", o->name);
        for (char *p = out; *p; p++)
            *p = fold(*p);
        *cursor = 1;
        return true;
    }
    if (!o->aliases)
        return false;
    const char *p = o->aliases + *cursor - 1;
    while (*p == ' ')
        p++;
    size_t n = strcspn(p, " ");
    if (n == 0)
        return false;
    snprintf(out, OPT_SPELLING_BYTES, "%.*s", (int)n, p);
    *cursor = (int)(p + n - o->aliases) + 1;
    return true;
}

bool opt_matches(const struct opt *o, const char *given, size_t len)
{
    char spelling[OPT_SPELLING_BYTES];
    for (int cursor = 0; opt_next_spelling(o, &cursor, spelling);)
        if (same_spelling(spelling, strlen(spelling), given, len))
            return true;
    return false;
}

void opt_env_name(const char *spelling, char out[OPT_SPELLING_BYTES + 8])
{
    out[0] = 0;
    if (strncmp(spelling, "--", 2) != 0)
        return;
    snprintf(out, OPT_SPELLING_BYTES + 8, "HEARTH_%s", spelling + 2);
    for (char *p = out; *p; p++)
        *p = *p == '-' ? '_' : *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
}

int opt_nearest(const struct opt *table, int n, const char *given, int best, char out[OPT_SPELLING_BYTES])
{
    best = min_int(best, max_int(2, (int)strlen(given) / 3) + 1);
    for (int i = 0; i < n; i++) {
        char spelling[OPT_SPELLING_BYTES];
        for (int cursor = 0; opt_next_spelling(&table[i], &cursor, spelling);) {
            int d = word_distance(spelling, given);
            if (d < best && strlen(spelling) > 2) {
                best = d;
                memcpy(out, spelling, OPT_SPELLING_BYTES);
            }
        }
    }
    return best;
}

/* ---- values ---- */

static bool bad_value(const char *thing, const struct opt *o, const char *text, hearth_error *err)
{
    switch (o->type) {
    case OPT_FLAG:
        return fail(err, HEARTH_ERR_USAGE, "%s: '%.80s' is not 1, 0, true, false, yes, no, on or off", thing, text);
    case OPT_INT:
        return fail(err, HEARTH_ERR_USAGE, "%s: '%.80s' is not a whole number from %.0f to %.0f", thing, text,
                    o->least, o->most);
    case OPT_COUNT:
        return fail(err, HEARTH_ERR_USAGE, "%s: '%.80s' is not a whole number from 0 to %lld", thing, text,
                    (long long)INT64_MAX);
    case OPT_FLOAT:
        return fail(err, HEARTH_ERR_USAGE, "%s: '%.80s' is not a number from %.10g to %.10g", thing, text, o->least,
                    o->most);
    case OPT_CHOICE:
        return fail(err, HEARTH_ERR_USAGE, "%s: '%.80s' is not one of %s", thing, text, o->value);
    case OPT_TEXT:
    case OPT_LIST:
        break;
    }
    return fail(err, HEARTH_ERR_USAGE, "%s: '%.80s' cannot be used", thing, text);
}

static bool read_whole(const char *text, int64_t *out)
{
    char *end;
    const char *digits = text + (*text == '-' || *text == '+');
    if (*digits < '0' || *digits > '9')
        return false;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    *out = v;
    return errno == 0 && *end == 0;
}

static bool read_real(const char *text, double *out)
{
    char *end;
    const char *digits = text + (*text == '-' || *text == '+');
    if ((*digits < '0' || *digits > '9') && *digits != '.')
        return false;
    *out = strtod(text, &end);
    return end != text && *end == 0 && isfinite(*out);
}

static bool read_choice(const struct opt *o, const char *text, int64_t *index)
{
    size_t n_text = strlen(text);
    const char *p = o->value;
    for (*index = 0; *p; (*index)++) {
        size_t n = strcspn(p, "|");
        if (n == n_text && strncasecmp(p, text, n) == 0)
            return true;
        p += n + (p[n] == '|');
    }
    return false;
}

static bool read_switch(const char *text, bool *on)
{
    static const char *const yes[] = { "1", "true", "yes", "on" }, *const no[] = { "0", "false", "no", "off" };
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *on = strcasecmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

bool opt_set_value(struct opt_value *v, const struct opt *o, const char *thing, const char *text, hearth_error *err)
{
    bool ok = true;
    *v = (struct opt_value){ .origin = OPT_FROM_LINE, .text = text };
    switch (o->type) {
    case OPT_FLAG:
        ok = read_switch(text, &v->on);
        break;
    case OPT_INT:
        ok = read_whole(text, &v->i) && (double)v->i >= o->least && (double)v->i <= o->most;
        break;
    case OPT_COUNT:
        ok = read_whole(text, &v->i) && v->i >= 0;
        break;
    case OPT_FLOAT:
        ok = read_real(text, &v->f) && v->f >= o->least && v->f <= o->most;
        break;
    case OPT_CHOICE:
        ok = read_choice(o, text, &v->i);
        break;
    case OPT_LIST:
        v->list[v->n_list++] = text;
        break;
    case OPT_TEXT:
        break;
    }
    return ok || bad_value(thing, o, text, err);
}

/* ---- the line ---- */

struct parser {
    struct args *out;
    const struct opt *table;
    int n;
    void (*note)(const char *);
    hearth_error *err;
};

static bool unknown_option(const struct parser *p, const char *given)
{
    char near[OPT_SPELLING_BYTES] = "";
    int best = opt_nearest(p->table, p->n, given, INT_MAX, near);
    opt_nearest(common_opts, N_COMMON, given, best, near);
    if (near[0])
        return fail(p->err, HEARTH_ERR_USAGE, "there is no option %.60s here; did you mean %s?", given, near);
    return fail(p->err, HEARTH_ERR_USAGE, "there is no option %.60s here", given);
}

/* The option of this spelling, and where its value goes; NULL: none. */
static const struct opt *find_option(const struct parser *p, const char *word, size_t len, struct opt_value **v)
{
    for (int i = 0; i < p->n; i++) {
        *v = &p->out->value[i];
        if (opt_matches(&p->table[i], word, len))
            return &p->table[i];
    }
    for (int i = 0; i < N_COMMON; i++) {
        *v = &p->out->common[i];
        if (opt_matches(&common_opts[i], word, len))
            return &common_opts[i];
    }
    return NULL;
}

/* word: "--name", "--name=value" or "-n"; next: the word after it or NULL. */
static bool take_option(const struct parser *p, const char *word, const char *next, bool *used_next)
{
    size_t len = strncmp(word, "--", 2) == 0 ? strcspn(word, "=") : strlen(word);
    char given[64];
    snprintf(given, sizeof given, "%.*s", (int)min_size(len, 60), word);
    struct opt_value *v;
    const struct opt *o = find_option(p, word, len, &v);
    if (!o)
        return unknown_option(p, given);
    bool again = v->origin == OPT_FROM_LINE;
    const char *text = word[len] == '=' ? word + len + 1 : NULL;
    if (o->type == OPT_FLAG) {
        if (text)
            return fail(p->err, HEARTH_ERR_USAGE, "%s takes no value, '%.80s' was given", given, text);
        *v = (struct opt_value){ .origin = OPT_FROM_LINE, .on = true, .text = word };
        return true;
    }
    if (!text) {
        if (!next)
            return fail(p->err, HEARTH_ERR_USAGE, "%s needs a value: %s", given, o->value);
        text = next;
        *used_next = true;
    }
    if (o->type == OPT_LIST && again) {
        if (v->n_list == OPT_LIST_MAX)
            return fail(p->err, HEARTH_ERR_USAGE, "%s is given more than %d times; give fewer", given, OPT_LIST_MAX);
        v->list[v->n_list++] = text;
        return true;
    }
    if (!opt_set_value(v, o, given, text, p->err))
        return false;
    if (again && p->note) {
        char sentence[200];
        snprintf(sentence, sizeof sentence, "--%s is given more than once; the last one, '%.80s', is used", o->name,
                 text);
        p->note(sentence);
    }
    return true;
}

/* What the line did not say of an option, from the environment: every long spelling is a name there. */
static bool read_variables(struct opt_value *v, const struct opt *o, hearth_error *err)
{
    char spelling[OPT_SPELLING_BYTES], name[OPT_SPELLING_BYTES + 8];
    for (int cursor = 0; v->origin != OPT_FROM_LINE && opt_next_spelling(o, &cursor, spelling);) {
        opt_env_name(spelling, name);
        const char *text = name[0] ? env_get_flag(spelling + 2) : NULL;
        if (!text)
            continue;
        if (v->origin == OPT_FROM_ENV && strcmp(v->text, text) != 0)
            return fail(err, HEARTH_ERR_USAGE, "%s is '%.60s', but another spelling of --%s in the environment "
                        "is '%.60s'; unset one", name, text, o->name, v->text);
        if (!opt_set_value(v, o, name, text, err))
            return false;
        v->origin = OPT_FROM_ENV;
    }
    return true;
}

static bool read_environment(const struct parser *p)
{
    bool ok = true;
    for (int i = 0; ok && i < p->n; i++)
        ok = read_variables(&p->out->value[i], &p->table[i], p->err);
    for (int i = 0; ok && i < N_COMMON; i++)
        ok = read_variables(&p->out->common[i], &common_opts[i], p->err);
    return ok;
}

bool opts_parse(struct args *out, const struct opt *table, int n, int max_words, int argc, char *const *argv,
                void (*note)(const char *sentence), hearth_error *err)
{
    struct parser p = { out, table, n, note, err };
    *out = (struct args){ 0 };
    bool only_words = false;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        bool used_next = false;
        if (!only_words && strcmp(word, "--") == 0) {
            only_words = true;
        } else if (!only_words && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
            out->help = true;
            return true;
        } else if (!only_words && word[0] == '-' && word[1]) {
            if (!take_option(&p, word, i + 1 < argc ? argv[i + 1] : NULL, &used_next))
                return false;
            i += used_next;
        } else if (out->n_words >= max_words) {
            return fail(err, HEARTH_ERR_USAGE, "'%.80s' is one word too many; put quotes around a text with spaces",
                        word);
        } else {
            out->word[out->n_words++] = word;
        }
    }
    return read_environment(&p);
}
