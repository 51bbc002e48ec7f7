/* inspect_template.h: what `hearth inspect --template` says: what a chat template can do, what a conversation looks
 * like in it, and what is wrong. */
#pragma once
#include <jansson.h>

#include "hearth/hearth.h"

void template_print(hearth_file *file);
/* {"from", "sha256", ..., "findings": [{"level", "code", "message"}]}, or null where there is no template. A new
 * reference; NULL when memory is out. */
json_t *template_to_json(hearth_file *file);
/* How many findings there are of each level. False: there is no template. */
bool template_count(hearth_file *file, int n[3]);
