/* receipt_text.h: the receipt for people, on standard error. */
#pragma once
#include <jansson.h>
#include <stdio.h>

#include "hearth/hearth.h"

/* One line: prompt, time to the first token, rates, memory. */
void receipt_print_figures(const hearth_receipt *r);
/* Everything the JSON receipt has, one line for each of its keys. */
void receipt_print_all(const hearth_receipt *r);
/* The same of one as JSON, on any file, without its head line. */
void receipt_print_json(FILE *out, json_t *receipt);
/* Text of others in one line: what would move the cursor is written as \n or \x1b. */
void print_in_line(FILE *out, const char *text);
