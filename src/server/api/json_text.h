/* json_text.h: JSON values as compact text in an arena. */
#pragma once
#include <jansson.h>

#include "base/arena.h"

/* "an object", "a list", "a text", "a number", "true", ... for refusals. */
const char *json_kind(const json_t *j);

/* A new object or list with the same values in it. NULL when memory is out; jansson's json_copy() (2.14) leaves out
 * then what it has no memory for, and says nothing. */
json_t *json_same(const json_t *j);

/* j without white space, keys in their order, real numbers as short as they can be and still be the same
 * number (0.1 stays 0.1). NUL-terminated; .ptr is NULL when memory is out or j is nested deeper than 2,048. */
struct str json_text(struct arena *a, const json_t *j);
