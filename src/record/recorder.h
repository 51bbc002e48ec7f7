/* recorder.h: the flight recorder: what is known of each answer, kept in a database (docs/decisions/0012).
 *
 * Whoever has an answer hands a record over and goes on: it is copied into a bounded queue, and a thread of the
 * recorder's own writes what is there every RECORDER_MS. So nobody waits for a disk, and of what was handed over longer
 * ago than that a kill takes nothing. What cannot be written is tried again for some seconds, and then dropped, counted
 * and said; no answer fails for it. */
#pragma once
#include "base/base.h"
#include "base/err.h"
#include "hearth/hearth.h"

enum {
    RECORDER_MS = 250, RECORDER_ROWS = 1024, RECORDER_PATIENCE_MS = 5000, RECORDER_LAST_MS = 200,
    RECORDER_QUEUE_BYTES = 4 << 20, RECORDER_FULL_QUEUE_BYTES = 16 << 20, /* with bodies */
};

struct recorder_options {
    const char *dir;     /* for its owner alone; made if it is not there, and its parents */
    bool full;           /* bodies, too */
    int days;            /* what is older is removed; 0: 30 */
    uint64_t most_bytes; /* of the file; the oldest rows go; 0: 1 GiB */
    /* A line, at most one of a kind in a minute. From recorder_open(), and on the recorder's thread. NULL: not
     * wanted. */
    void (*note)(void *arg, const char *line);
    void *note_arg;
    int patience_ms;     /* how long a row is tried again; 0: RECORDER_PATIENCE_MS */
    int queue_rows;      /* that may wait; 0: RECORDER_ROWS */
};

/* One answer. Everything is copied. */
struct record {
    const hearth_receipt *receipt;
    /* Or, instead: a stream that was cancelled and has no receipt yet. It is the recorder's from here on; `output` is
     * what was read of it. */
    hearth_stream *stream;
    size_t stream_bytes; /* of memory that it holds */
    const char *key;    /* who asked; NULL: nobody is known */
    const char *source; /* "/v1/chat/completions", "run" */
    const char *model;  /* the name that clients know */
    int choice;         /* of several answers to one request */
    int status;         /* of HTTP; 0: nobody was there any more to be told one, or there is none */
    /* With `full`: what a replay needs beside the receipt. */
    const int32_t *prompt, *output; /* token ids */
    /* hearth_event.logits_mix of each, and one more where an end-of-generation token was the end; or none. */
    const uint64_t *mixes;
    size_t n_prompt, n_output, n_mixes;
    const hearth_request *request;  /* its parameters; NULL: no body */
    const char *asked;              /* JSON of what the server knows beside; NULL: nothing */
};

struct recorder; /* opaque; NULL is one that takes nothing */

/* Makes the folder, opens the database, and starts the thread. Trouble with the database is not an error: it is said,
 * and tried again. HEARTH_ERR_IO: there is no such folder, and none can be made; HEARTH_ERR_MEMORY. */
struct recorder *recorder_open(const struct recorder_options *options, hearth_error *err);
/* Writes what is there, in one try; streams that were given up have RECORDER_LAST_MS to end. */
void recorder_close(struct recorder *r);
/* Never blocks. Any thread. */
void recorder_put(struct recorder *r, const struct record *record);
bool recorder_is_full(const struct recorder *r); /* it wants bodies */

/* Memory that it may take: its queue, and the database's pages. */
uint64_t recorder_memory_bytes(bool full);

struct recorder_figures {
    bool on, full;
    const char *path, *dir; /* the file, its folder; they live as long as the recorder */
    uint64_t n_written, n_dropped, n_removed; /* rows; removed: too old, or too many */
    uint64_t n_failed;      /* tries to write that failed */
    uint64_t n_waiting;     /* in the queue */
    uint64_t bytes;         /* of the file */
    char problem[512];      /* what is wrong now; "" */
};
void recorder_look(struct recorder *r, struct recorder_figures *out); /* any thread; waits for no disk */
