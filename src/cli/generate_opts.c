#include "cli/generate_opts.h"

#include <stdlib.h>
#include <string.h>

#include "cli/command.h"

const char kv_type_choices[] =
#define KV_TYPE(name, value_bytes, group, help) "|" #name
#include "hearth/kv_types.def"
    ;

static hearth_origin origin_of(const struct opt_value *v)
{
    return v->origin == OPT_FROM_PRESET ? HEARTH_FROM_PRESET : HEARTH_FROM_REQUEST;
}

static void say_note(void *arg, const char *line)
{
    (void)arg;
    say("%s", line);
}

void cache_fill(hearth_engine_options *engine, const struct opt_value *dir, const struct opt_value *disk, int close_ms)
{
    engine->cache_dir = dir->text;
    engine->cache_disk_bytes = disk->origin == OPT_UNSET ? 0 : (uint64_t)disk->i << 20;
    engine->cache_close_ms = close_ms;
    engine->cache_note = say_note;
}

void sampling_fill(hearth_sampling *s, hearth_origin origin[HEARTH_N_SAMPLING], const hearth_model *model,
                   const struct opt_value given[HEARTH_N_SAMPLING])
{
    hearth_sampling_defaults(model, s, origin);
    for (int i = 0; i < HEARTH_N_SAMPLING; i++) {
        if (given[i].origin == OPT_UNSET)
            continue;
        bool whole = strcmp(hearth_sampling_table[i].type, "int") == 0;
        hearth_sampling_set(s, i, whole ? (double)given[i].i : given[i].f);
        origin[i] = origin_of(&given[i]);
    }
}

bool speculate_choose(int *speculate, const struct opt_value *given, hearth_error *err)
{
    const char *text = given->origin == OPT_UNSET ? "auto" : given->text;
    char *end;
    long n = strtol(text, &end, 10);
    *speculate = strcmp(text, "off") == 0 ? HEARTH_SPECULATE_OFF : HEARTH_SPECULATE_AUTO;
    if (strcmp(text, "auto") == 0 || strcmp(text, "off") == 0)
        return true;
    *speculate = (int)n;
    if (text[0] >= '0' && text[0] <= '9' && !*end && n >= 1 && n <= HEARTH_MAX_DRAFT)
        return true;
    return fail(err, HEARTH_ERR_USAGE, "--speculate is '%.40s'; it must be auto, off or a number from 1 to %d", text,
                HEARTH_MAX_DRAFT);
}

/* \n, \t and \\ as people write them on a command line. */
static bool read_breaker(char out[HEARTH_BREAKER_BYTES], const char *text, hearth_error *err)
{
    size_t n = 0;
    for (const char *p = text; *p; p++) {
        char c = *p, next = p[1];
        if (c == '\\' && (next == 'n' || next == 't' || next == '\\')) {
            c = next == 'n' ? '\n' : next == 't' ? '\t' : '\\';
            p++;
        }
        if (n + 1 >= HEARTH_BREAKER_BYTES)
            break;
        out[n++] = c;
        out[n] = 0;
        if (!p[1])
            return true;
    }
    return fail(err, HEARTH_ERR_USAGE, "--dry-sequence-breaker '%.80s' has %zu bytes; it must have 1 to %d", text,
                strlen(text), HEARTH_BREAKER_BYTES - 1);
}

bool sampling_choose(struct sampling_choice *c, const struct opt_value *samplers, const struct opt_value *breakers,
                     hearth_error *err)
{
    c->has_order = samplers->origin != OPT_UNSET;
    c->has_breakers = breakers->origin != OPT_UNSET;
    c->order_origin = origin_of(samplers);
    c->breakers_origin = origin_of(breakers);
    c->n_breakers = 0;
    if (c->has_order && !hearth_sampling_order_read(&c->order, samplers->text, err))
        return false;
    if (breakers->n_list == 1 && strcmp(breakers->list[0], "none") == 0)
        return true;
    for (int i = 0; i < breakers->n_list; i++) {
        if (!read_breaker(c->texts[i], breakers->list[i], err))
            return false;
        c->breakers[c->n_breakers++] = c->texts[i];
    }
    return true;
}

void sampling_choice_fill(hearth_request *r, const struct sampling_choice *c)
{
    r->sampling_order = c->has_order ? &c->order : NULL;
    r->sampling_order_origin = c->order_origin;
    r->dry_sequence_breakers_origin = c->breakers_origin;
    r->dry_sequence_breakers = c->has_breakers ? c->breakers : NULL;
    r->n_dry_sequence_breakers = c->n_breakers;
}
