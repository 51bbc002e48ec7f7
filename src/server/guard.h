/* guard.h: what a request must be before anybody looks into it: framed without doubt, within limits, with a key where
 * keys are configured. Pure. */
#pragma once
#include "base/err.h"
#include "server/api/problem.h"
#include "server/api/view.h"

enum {
    GUARD_MAX_HEADERS = 64,
    GUARD_MAX_KEYS = 256,
    GUARD_KEY_MAX_BYTES = 512,
    GUARD_NAME_ROOM = 49,
};

/* A request's head as it came: names and values are not NUL-terminated where the client sent a NUL. */
struct head {
    const char *method, *path, *version; /* path: not unescaped, without the query */
    struct {
        struct str name, value;
    } header[GUARD_MAX_HEADERS];
    int n_headers;
    bool too_many; /* headers */
};

/* The value of the only header of this name, in any case; .ptr NULL: none, or several. */
struct str head_value(const struct head *h, const char *name);

/* How the body is framed. */
struct body_frame {
    bool has_length, chunked;
    uint64_t length;
};

/* Refuses what two readers could take for two different requests (reliability: request smuggling): lengths twice or
 * with anything but digits, a length together with chunks, another coding than chunks, two hosts, names with spaces,
 * control characters; and versions that are not 1.0 or 1.1. After it the connection must be closed. */
bool guard_framing(const struct head *h, struct body_frame *frame, struct problem *p);

/* A POST's body against the limit. */
bool guard_body(const struct head *h, const struct body_frame *frame, size_t most_bytes, struct problem *p);

/* API keys: only their SHA-256 is kept. A key stays where it is while the server has it or one of its requests runs,
 * also when the file is read again; http thread. */
struct key {
    char sha256[65];
    char name[GUARD_NAME_ROOM]; /* of the file, or "line-N" */
    int line;
    uint64_t salt;       /* made from it: whose a request is, and what it may find in the cache; never 0 */
    bool is_observer;    /* it may see what others use */
    bool is_admin;       /* may use ADMIN routes, and sees the requests of all keys and what they use */
    bool revoked;        /* the file has it no more: it goes with its last request */
    int n_at_once; /* requests it may have running or waiting; 0: as many as there is room for */
    int n_now;
    /* Tokens of prompts and answers in a minute; 0: as many as it likes. A bucket of so many that fills again in a
     * minute: what was used is taken out when an answer ends, so it may be less than empty for a while. */
    int64_t n_per_minute;
    double used; /* of the bucket, at `at_ns` */
    int64_t at_ns;
    struct usage usage;
};
struct keys {
    struct key *key[GUARD_MAX_KEYS]; /* mem_alloc'ed */
    int n;
};

/* Text of a key file: one key a line, or sha256:HEX of one, and after it, if wanted, name=NAME, requests=N, tokens=N,
 * observer and admin. '#' begins a comment. Names and keys are there once. HEARTH_ERR_USAGE names the line. */
bool keys_read(struct keys *k, const char *text, const char *name, hearth_error *err);
void keys_free(struct keys *k); /* fine on a zeroed one */
/* What a file holds now: keys that were there keep what they have running and have used, and get their new name and
 * limits; those that are gone are none from here on. fresh is empty after it. */
void keys_adopt(struct keys *k, struct keys *fresh);
/* One of its requests has ended. */
void key_leave(struct key *key);

/* 1 to GUARD_NAME_ROOM - 1 letters, digits and -_.@ */
bool key_name_valid(struct str name);
/* One word behind a key, as in the file: "requests=3", "observer". False: it is none, is out of its range, or was there
 * already. */
bool key_option_read(struct key *key, struct str word);
/* What those words may be, for messages. */
extern const char key_options_help[];

/* The request's key (Authorization: Bearer KEY, or X-Api-Key: KEY), looked for in all of them in a time that does not
 * depend on which it is. *key: whose limit counts; NULL without keys. */
bool guard_key(struct keys *k, const struct head *h, struct key **key, struct problem *p);

/* Whole tokens that are left to a key with a limit, and in how many seconds all are there again. now_ns: clock_ns(). */
int64_t key_tokens_left(struct key *key, int64_t now_ns, double *full_s);
/* Seconds until it may ask again; 0: now. */
double key_wait_s(struct key *key, int64_t now_ns);
void key_charge(struct key *key, int64_t n_tokens, int64_t now_ns);
