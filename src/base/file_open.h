/* file_open.h: between file.c, folder.c and map.c only. */
#pragma once
#include <sys/stat.h>

#include "base/err.h"

/* Open a regular, non-empty file for mapping; -1 and err otherwise. */
int file_open_for_map(const char *path, struct stat *st, hearth_error *err);

/* file_fail_at(): this call is to fail; errno is EIO. */
bool file_told_to_fail(void);
