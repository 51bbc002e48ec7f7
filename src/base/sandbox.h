/* sandbox.h: what a process gives up of the system when it needs it no more. Linux; elsewhere nothing is offered.
 *
 * Two means of the kernel, and each covers what the other cannot. seccomp (seccomp(2), through libseccomp) looks at the
 * numbers of a system call: which one it is, and flags. Landlock (landlock(7)) looks at paths. Both hold for all
 * threads that there are and will be, and nothing takes them back. What is refused fails with EPERM or EACCES, as any
 * call may, and never ends the process: code that is not ours (the C library, a newer kernel's calls in it) tries
 * things. */
#pragma once
#include "base/err.h"

enum { SANDBOX_MAX_PATHS = 40, SANDBOX_PATH_BYTES = 1024 };

struct sandbox {
    /* What may still be opened: files and whole folders to read, folders in which files are made, changed, removed. */
    char read[SANDBOX_MAX_PATHS][SANDBOX_PATH_BYTES], write[SANDBOX_MAX_PATHS][SANDBOX_PATH_BYTES];
    int n_read, n_write;
    bool database; /* one is open: its files may be locked and made shorter */
    int n_databases; /* of `write`: folders in which files of a database are made and removed, and no more is done */
    char remove[SANDBOX_PATH_BYTES]; /* a folder in which files may be removed; "": none */
    bool client; /* it connects to others: sandbox_may_connect() */

    /* What the kernel offers, and what of it is active; filled by sandbox_enter(). */
    bool has_seccomp, seccomp, landlock;
    int landlock_abi; /* 0: it has none */
    bool offline;     /* sandbox_offline() was called before; the caller's note */
};

/* The folder of a file may be read, or that folder be written. False: there are too many, or the path is too long. */
bool sandbox_may_read_beside(struct sandbox *s, const char *file);
bool sandbox_may_write(struct sandbox *s, const char *folder);
/* A database is open in that folder. Without Landlock, which alone keeps other folders from being written, it may be
 * used as it is, and not be made anew. After sandbox_look(). */
bool sandbox_may_use_database(struct sandbox *s, const char *folder);
/* A file that is to go at the end: of Landlock's rights there is none for one file, so it is all in its folder. */
bool sandbox_may_remove_beside(struct sandbox *s, const char *file);

/* That file, or that folder and all in it, where it is there. False as above. */
bool sandbox_may_read(struct sandbox *s, const char *path);
/* Connections to others: names are looked up and certificates checked, by libraries that are loaded meanwhile. What
 * those read of the system may be read: for root single files and folders, else all of /etc that this user may read,
 * since a network that changes replaces files of it. False as above. */
bool sandbox_may_connect(struct sandbox *s);

/* What the kernel offers, into *s. */
void sandbox_look(struct sandbox *s);

/* From here on no programs, no new sockets and no connections (but for a client), no files but those; what is open
 * stays open, threads may be started. What the kernel does not offer is left out, and *s says what is active.
 * HEARTH_ERR_IO: it offers something and then refuses it, HEARTH_ERR_MEMORY. Not beside other threads that start
 * threads. */
bool sandbox_enter(struct sandbox *s, hearth_error *err);

/* From here on no thread of this process connects to anything or sends to anybody whom it has not accepted. Sockets
 * that listen may still be made. HEARTH_ERR_IO: the kernel does not offer that. */
bool sandbox_offline(hearth_error *err);
