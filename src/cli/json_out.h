/* json_out.h: JSON on standard output. */
#pragma once
#include <jansson.h>

#include "base/err.h"

/* o (stolen; NULL: memory was out while it was made) and a newline on standard output: all of it or nothing.
 * HEARTH_ERR_MEMORY; what goes wrong in writing is for finish_output(). what: "the JSON of the answer". */
bool json_print(json_t *o, size_t flags, const char *what, hearth_error *err);

/* Text from a file; "(not UTF-8)" where it is not. NULL only when memory is out. */
json_t *json_of_text(const char *text);
