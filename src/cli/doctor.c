#include "cli/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct doctor_row doctor_rows[] = {
#define CHECK(name) { #name, doctor_##name },
#include "cli/doctor.def"
    { NULL, NULL },
};

const char *doctor_level_name(enum doctor_level level)
{
    static const char *const names[DOCTOR_N_LEVELS] = { "fine", "note", "warning" };
    return names[level];
}

void doctor_say(struct finding *out, const char *fmt, ...)
{
    size_t n = strlen(out->text);
    va_list args;
    va_start(args, fmt);
    vsnprintf(out->text + n, sizeof out->text - n, fmt, args);
    va_end(args);
}

void doctor_advise(struct finding *out, enum doctor_level level, const char *fmt, ...)
{
    if (level <= out->level && out->remedy[0])
        return;
    out->level = level > out->level ? level : out->level;
    va_list args;
    va_start(args, fmt);
    vsnprintf(out->remedy, sizeof out->remedy, fmt, args);
    va_end(args);
}
