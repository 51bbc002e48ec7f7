/* file_open.h: between file.c and map.c only. */
#pragma once
#include <sys/stat.h>

#include "base/err.h"

/* Open a regular, non-empty file for mapping; -1 and err otherwise. */
int file_open_for_map(const char *path, struct stat *st, hearth_error *err);
