/* prompt_text.h: a rendered prompt for people. */
#pragma once
#include <stdio.h>

#include "hearth/hearth.h"

/* Special tokens stand out: reversed on a terminal, as [[<|eot_id|>]] elsewhere. What merely looks like one in a
 * message is plain text, as it is for the model. Control characters and bytes that are not UTF-8 come as \x1b. */
void prompt_print(FILE *out, hearth_file *file, const hearth_rendered *r);

/* The same of any text from a file: nothing in it can move the cursor. Newlines stay newlines. */
void visible_print(FILE *out, const char *text, size_t n);
