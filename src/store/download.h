/* download.h: one file of a hub into the store, so that it is whole and right, or not there under its name.
 *
 * What comes is written to partial/KEY.part and hashed; a note beside it says of what it is a piece. When all of it is
 * there and its SHA-256 is right it is brought to the disk, recorded, and gets its name. Whatever ends that before
 * (a kill, the network, a full disk) leaves the piece, and the next call goes on from its end, after hashing it again.
 *
 * A server is believed nothing that can be checked: the part that it says it sends must be the one that was asked for,
 * its length that of the list, and its ETag the one of the piece; otherwise the file begins again. */
#pragma once
#include "store/http_client.h"
#include "store/records.h"

enum download_event {
    DOWNLOAD_BEGINS,   /* bytes: of the file, done: what is there already */
    DOWNLOAD_HASHING,  /* what is there is hashed again: done of bytes */
    DOWNLOAD_GOES_ON,  /* done of bytes */
    DOWNLOAD_RETRY,    /* why, and wait_ms until the next try */
    DOWNLOAD_RESTART,  /* why: from the first byte again */
    DOWNLOAD_DONE,     /* sha256; resumed: bytes that were there before this call */
    DOWNLOAD_PRESENT,  /* it was there under its name, whole and right */
};

struct download_report {
    enum download_event event;
    const char *name;        /* in the store */
    uint64_t bytes, done;    /* bytes UINT64_MAX: not known */
    uint64_t resumed, fetched; /* bytes that were there before this call, and that came over the network in it */
    int wait_ms;
    const char *why;
    const char *sha256;
    bool published;          /* the hub names the digest */
};

struct download_options {
    const char *key;         /* token; goes to the first address's host alone; NULL: none */
    int stall_s, retry_ms;   /* when it counts as stalled; the first wait, twice that then, up to 30 s */
    int most_tries;          /* that may fail one after the other without a byte more */
    void (*tell)(void *arg, const struct download_report *r);
    bool (*stop)(void *arg); /* asked every now and then: true ends it with HEARTH_ERR_CANCELLED */
    void *arg;
};

/* source: what the user asked for, for the record. HEARTH_ERR_IO: network or disk, after all tries; HEARTH_ERR_FORMAT:
 * what came is not what it must be; HEARTH_ERR_MEMORY: it does not fit on the disk; HEARTH_ERR_USAGE: the server
 * refuses, or another file has its name. */
bool download_file(const struct tree *t, struct http_client *http, const struct hub_file *f, const char *source,
                   const struct download_options *o, hearth_error *err);

/* Where an answer of `from` points to, for a request that began at `first`: https, and inside this machine only what
 * began there. HEARTH_ERR_FORMAT. */
bool download_may_follow(const struct http_place *first, const struct http_place *to, hearth_error *err);

/* One request, redirects followed by the rules above (at most 5), the key dropped on another host. r->url, r->key, ->
 * any_query and ->no_private are set here. */
bool download_send(struct http_client *http, const char *url, const char *key, struct http_request *r,
                   struct http_answer *answer, hearth_error *err);

/* Whether trying again may help, of an answer that is none of 200, 206, 416; *err says what it means. */
bool download_refused(const struct http_answer *a, const char *place, const char *said, hearth_error *err);
