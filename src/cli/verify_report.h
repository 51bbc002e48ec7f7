/* verify_report.h: what was found, for people and for programs. */
#pragma once
#include <jansson.h>

#include "cli/verify.h"

/* On standard output. model: what it is called. */
void verify_print(const struct verify *v, const char *model);
/* A new reference, or NULL when memory is out. */
json_t *verify_json(const struct verify *v);
