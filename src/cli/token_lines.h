/* token_lines.h: tokens as people read them. */
#pragma once
#include "hearth/hearth.h"

/* One token a line on standard output: its id, and its bytes in quotes. */
void token_lines_print(hearth_file *file, const int32_t *ids, size_t n);
