/* tree.h: a folder and all below it, whose files have names like "hf/owner/repo/file.gguf" that never lead out of it.
 *
 * A name is parts with '/' between, each of letters, digits and "._+=@,~-", none with a dot in front: "..", an absolute
 * path and hidden files are no names. Folders are looked up one after the other from the opened one, and no link is
 * followed, so a file that is opened, renamed or removed is in the tree, whatever somebody puts there meanwhile. */
#pragma once
#include "base/base.h"
#include "base/err.h"

enum { TREE_PATH_BYTES = 1024, TREE_NAME_BYTES = 640, TREE_PART_BYTES = 160, TREE_MOST_PARTS = 12 };

struct tree {
    int fd; /* -1: none */
    char path[TREE_PATH_BYTES];
};

struct tree_file {
    int fd; /* -1: none */
    uint64_t bytes, device, inode;
    int64_t mtime_ns;
};

/* One part, and a whole name. Pure. */
bool tree_part_is_good(struct str part);
bool tree_name_is_good(const char *name);

/* make: it and its parents are made, mode 0700, where they are not there. HEARTH_ERR_IO. */
bool tree_open(struct tree *t, const char *path, bool make, hearth_error *err);
void tree_close(struct tree *t); /* fine on one that is closed; a zeroed one has file 0: set .fd = -1 */
/* Bytes that may still be written to its disk; UINT64_MAX: not known. */
uint64_t tree_free_bytes(const struct tree *t);

/* For reading. 1: open; 0: there is no such file; -1: HEARTH_ERR_IO. */
int tree_file_open(const struct tree *t, const char *name, struct tree_file *f, hearth_error *err);
/* For reading and writing at its end, made where it is not there, with its folders; nobody else holds it meanwhile.
 * 1: held; 0: somebody else holds it; -1: HEARTH_ERR_IO. */
int tree_file_hold(const struct tree *t, const char *name, struct tree_file *f, hearth_error *err);
/* What a regular file elsewhere looks like, links followed; fd stays -1. False: there is none. */
bool tree_file_outside(const char *path, struct tree_file *f);
void tree_file_close(struct tree_file *f);
bool tree_file_get(const struct tree_file *f, void *out, size_t n, uint64_t offset); /* all n bytes from there on */
/* Behind what is there; f->bytes grows. HEARTH_ERR_IO: some of it may be there (f->bytes says how much). */
bool tree_file_add(struct tree_file *f, const void *bytes, size_t n, hearth_error *err);
bool tree_file_cut(struct tree_file *f, uint64_t bytes, hearth_error *err); /* to that length, or longer with a hole */
bool tree_file_sync(struct tree_file *f, hearth_error *err);                /* onto the disk; renews what f says */

/* All of it, replacing what was there, synced: after a crash it is the old one or the new one. HEARTH_ERR_IO. */
bool tree_write(const struct tree *t, const char *name, const void *bytes, size_t n, hearth_error *err);
/* All of a small file, NUL-terminated, for mem_free(). 1; 0: there is none; -1: HEARTH_ERR_IO, HEARTH_ERR_USAGE where
 * it has more than `most` bytes. */
int tree_read(const struct tree *t, const char *name, size_t most, char **out, size_t *n, hearth_error *err);
/* Replaces what has the new name; both folders are synced. HEARTH_ERR_IO. */
bool tree_rename(const struct tree *t, const char *from, const char *to, hearth_error *err);
/* With the folders above it that are empty then. True: it is not there now. HEARTH_ERR_IO. */
bool tree_remove(const struct tree *t, const char *name, hearth_error *err);

/* Each regular file below the folder `name` ("": the tree), with its whole name, in no order. Not there: nothing is
 * seen. False: HEARTH_ERR_IO. */
bool tree_look(const struct tree *t, const char *name,
               void (*see)(void *arg, const char *name, const struct tree_file *f), void *arg, hearth_error *err);
/* The same, and links whose text leads to a regular file of the tree that is no link itself: at is where that file is,
 * in the tree, and f is what it looks like; of what is no link at is its name. A link that leads anywhere else, and
 * what has no good name and is not hidden, is seen with at and f NULL. The system follows no link: their text is read,
 * and held to the rules of names. */
bool tree_look_linked(const struct tree *t, const char *name,
                      void (*see)(void *arg, const char *name, const char *at, const struct tree_file *f), void *arg,
                      hearth_error *err);
