/* guard.h: what a request must be before anybody looks into it: framed without doubt, within limits, with a key where
 * keys are configured. Pure. */
#pragma once
#include "base/err.h"
#include "server/api/problem.h"

enum {
    GUARD_MAX_HEADERS = 64,
    GUARD_MAX_KEYS = 256,
    GUARD_KEY_MAX_BYTES = 512,
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

/* API keys: only their SHA-256 is kept. */
struct keys {
    struct key {
        char sha256[65];
        bool is_admin; /* may use ADMIN routes, and sees the requests of all keys */
        int n_at_once; /* requests it may have running or waiting; 0: as many as there is room for */
        int n_now;
        /* Tokens of prompts and answers in a minute; 0: as many as it likes. A bucket of so many that fills again in a
         * minute: what was used is taken out when an answer ends, so it may be less than empty for a while. */
        int64_t n_per_minute;
        double used; /* of the bucket, at `at_ns` */
        int64_t at_ns;
    } key[GUARD_MAX_KEYS];
    int n;
};

/* Text of a key file: one key a line, or sha256:HEX of one, and after it, if wanted, requests=N tokens=N and
 * admin. '#' begins a comment. HEARTH_ERR_USAGE names the line. */
bool keys_read(struct keys *k, const char *text, const char *name, hearth_error *err);

/* The request's key (Authorization: Bearer KEY, or X-Api-Key: KEY), looked for in all of them in a time that does not
 * depend on which it is. *key: whose limit counts; NULL without keys. */
bool guard_key(struct keys *k, const struct head *h, struct key **key, struct problem *p);

/* Whole tokens that are left to a key with a limit, and in how many seconds all are there again. now_ns: clock_ns(). */
int64_t key_tokens_left(struct key *key, int64_t now_ns, double *full_s);
/* Seconds until it may ask again; 0: now. */
double key_wait_s(struct key *key, int64_t now_ns);
void key_charge(struct key *key, int64_t n_tokens, int64_t now_ns);
