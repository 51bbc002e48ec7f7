/* folder.h: a folder whose files are found, read, written and removed by name.
 *
 * Names are looked up from the opened folder and never followed through links, so what is read or removed is in it.
 * A file under its name is complete: it is written as NAME.part, synced and renamed. Files are for their owner alone
 * (mode 0600), as is a folder that is made (0700). Calls of one folder may come from several threads. */
#pragma once
#include "base/base.h"
#include "base/err.h"

struct folder {
    int fd; /* -1: none */
    const char *path; /* borrowed, for sentences */
};

/* Open it; one that is not there is made, if its parent is. HEARTH_ERR_IO. path must live as long as the folder. */
bool folder_open(struct folder *f, const char *path, hearth_error *err);
void folder_close(struct folder *f);
/* It and its parents, as far as they are not there (mode 0700). HEARTH_ERR_IO. */
bool folder_make(const char *path, hearth_error *err);

/* See everything in it but links and folders, in any order. used_ns: what folder_write() or fd_mark_used() said.
 * HEARTH_ERR_IO; what cannot be looked at is left out. */
bool folder_look(const struct folder *f, void (*see)(void *arg, const char *name, uint64_t bytes, int64_t used_ns),
                 void *arg, hearth_error *err);
/* True: it is not there now. */
bool folder_remove(const struct folder *f, const char *name);
/* An empty file, if there is none: HEARTH_ERR_IO, also where its name is that of a link or of something else. */
bool folder_create(const struct folder *f, const char *name, hearth_error *err);
/* Another name in the folder, that of nothing there. True: the old name is nothing's now. HEARTH_ERR_IO. */
bool folder_rename(const struct folder *f, const char *from, const char *to, hearth_error *err);
/* Hold this file of the folder, until folder_let_go() of what is returned; -1: somebody else has it, or it cannot be
 * made. */
int folder_hold(const struct folder *f, const char *name);
void folder_let_go(int held);

struct bytes_part {
    const void *bytes;
    size_t n;
};
/* The parts, one behind the other. What was written is not kept in the page cache. On failure nothing is left of it.
 * HEARTH_ERR_IO. */
bool folder_write(const struct folder *f, const char *name, const struct bytes_part *parts, int n_parts,
                  int64_t used_ns, hearth_error *err);

/* A regular file of it for reading, with its length now; -1: it is not there, or not to be had (HEARTH_ERR_IO). */
int folder_file_open(const struct folder *f, const char *name, uint64_t *bytes, hearth_error *err);
/* All n bytes from offset on. False when the file ends before, or cannot be read (then errno says why). */
bool fd_read(int fd, void *out, size_t n, uint64_t offset);
void fd_mark_used(int fd, int64_t used_ns); /* as well as it goes */
void fd_will_read(int fd);                  /* all of it, soon */
/* Close it; its bytes are not wanted in the page cache any more. */
void fd_done(int fd);
