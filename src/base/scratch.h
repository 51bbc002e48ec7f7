/* scratch.h: files that are gone when a command ends. */
#pragma once
#include "base/base.h"
#include "base/err.h"

/* A folder of our own (mode 0700) in $TMPDIR, else in /var/tmp, which is on a disk where /tmp may be memory, else in
 * /tmp. */
struct scratch {
    char path[1024]; /* "": none */
};
/* HEARTH_ERR_IO names the folder that it was to be made in. */
bool scratch_open(struct scratch *s, hearth_error *err);
/* Remove it with the files in it. Fine on a zeroed struct or twice. */
void scratch_close(struct scratch *s);
/* A file without a name in this folder, for reading and writing at offsets; -1: HEARTH_ERR_IO. Whatever ends the
 * process, its bytes are the disk's again. */
int scratch_file(const char *folder, hearth_error *err);
void scratch_file_close(int fd); /* -1 is fine */
/* All n bytes. HEARTH_ERR_IO. */
bool scratch_write(int fd, const void *bytes, size_t n, uint64_t offset, hearth_error *err);
bool scratch_read(int fd, void *out, size_t n, uint64_t offset, hearth_error *err);

/* What a process without privileges may still write there. HEARTH_ERR_IO. */
bool folder_room(const char *path, uint64_t *bytes, hearth_error *err);
