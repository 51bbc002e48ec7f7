/* token_lines.h: tokens as people read them. */
#pragma once
#include "hearth/hearth.h"

/* One token a line on standard output: its id, and its bytes in quotes. HEARTH_ERR_MEMORY: some lines are missing. */
bool token_lines_print(hearth_file *file, const int32_t *ids, size_t n, hearth_error *err);
