/* token_lines.h: tokens as people read them. */
#pragma once
#include "hearth/hearth.h"

/* Bytes in quotes on standard output: what is not printable ASCII or whole UTF-8 is escaped, as what moves a cursor. */
void quoted_print(const char *text, size_t n);

/* One token a line on standard output: its id, and its bytes in quotes. HEARTH_ERR_MEMORY: some lines are missing. */
bool token_lines_print(hearth_file *file, const int32_t *ids, size_t n, hearth_error *err);
