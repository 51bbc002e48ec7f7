#include "cli/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *const verify_check_names[N_VERIFY_CHECKS] = { "weights", "tokenizer", "template", "arithmetic",
                                                          "prediction" };

void verify_say(struct verify *v, enum verify_check check, hearth_finding_level level, const char *code,
                struct str where, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    v->n_of_level[level]++;
    const char *message = arena_strdup(&v->arena, str_z(text)).ptr, *place = arena_strdup(&v->arena, where).ptr;
    if (!message || !place)
        v->out_of_memory = true;
    else if (v->n_found < VERIFY_MOST_FINDINGS)
        v->found[v->n_found++] = (struct verify_finding){ check, level, code, place, message };
}

void verify_done(struct verify *v, enum verify_check check, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    const char *line = arena_strdup(&v->arena, str_z(text)).ptr;
    v->done[check] = line;
    v->out_of_memory |= !line;
}
