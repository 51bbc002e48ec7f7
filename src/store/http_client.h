/* http_client.h: requests to servers elsewhere: the one place of the program that opens connections (libcurl,
 * docs/decisions/0013-libcurl.md).
 *
 * http and https, nothing else; certificates are checked; no redirect is followed here (download_send.c asks where one
 * leads, by rules of its own), no cookie is kept, no user name is taken from an address; every answer has limits of
 * bytes and of time. A key goes over https, or to this machine. */
#pragma once
#include "base/base.h"
#include "base/err.h"

/* Where an address leads. */
enum { HTTP_PLACE_BYTES = 300, HTTP_URL_BYTES = 2048, HTTP_REDIRECT_BYTES = 8192, HTTP_ETAG_BYTES = 200 };
struct http_place {
    char name[HTTP_PLACE_BYTES]; /* "api.example.com", "127.0.0.1:8080": for sentences */
    bool is_tls;
    bool is_here; /* localhost, 127.0.0.0/8 or ::1, as it is written */
};
/* HEARTH_ERR_USAGE: it is none of http or https, or has a user's name, a '?' or a '#' in it. */
bool http_place_of(const char *url, struct http_place *out, hearth_error *err);
/* The same of where an answer points to: it may be longer, and have a '?' in it (what signs it, often). */
bool http_place_of_redirect(const char *url, struct http_place *out, hearth_error *err);

/* "bytes 5-99/100": what part of how much an answer is. "bytes * /100", without the space: how much there is, and no
 * part of it (then *first is above *last). False: it says something else, or the whole is not known. Pure. */
bool http_content_range(const char *text, uint64_t *first, uint64_t *last, uint64_t *total);

/* Of the value of a Link header (RFC 8288), where the next page of a list is, into out. 1: there it is; 0: there is no
 * next one; -1: there is, but its address is longer than room, or has characters that none has. Pure. */
int http_link_next(struct str value, char *out, size_t room);

/* Whether a key may go there. HEARTH_ERR_USAGE: it would go over http to another machine, or is none by its characters,
 * which stand in no error. */
bool http_key_may_go(const struct http_place *place, const char *key, hearth_error *err);

struct http_answer {
    int status;            /* 0: nothing came */
    char content_type[80]; /* in small letters, without parameters; "" */
    int64_t retry_after_s; /* 0: not said */
    char location[200];    /* where a redirect would lead, on one line; "" */
    char redirect[HTTP_REDIRECT_BYTES]; /* the same to go there, as an address; "": there is none, or it is too long */
    char etag[HTTP_ETAG_BYTES];         /* with its quotes; "": none, or one that is too long */
    char content_range[80];
    char next[HTTP_URL_BYTES];          /* of a list in pages where the next one is, as the server writes it; "" */
    bool has_next;      /* there is a next one, if only at an address that cannot be taken (next is "" then) */
    uint64_t n_content;    /* Content-Length; UINT64_MAX: not said */
    bool is_private;       /* it came from an address that only this machine or its network knows */
    double connect_ms;     /* until name, connection and TLS were there; 0: the one before was still open */
};

enum { HTTP_STALL_BYTES = 1000 };
struct http_request {
    const char *url;
    const char *body;   /* JSON to POST, of n_body bytes; NULL: GET */
    size_t n_body;
    const char *accept; /* the type that is wanted */
    const char *range;  /* "100-": bytes of the body that are wanted; NULL: all */
    const char *if_range; /* an ETag: if it has another now, all are wanted; NULL: whatever it has */
    bool any_query;     /* url may be as long as one where an answer points to, and have a '?' */
    bool no_private;    /* not from an address of a private network, whatever the name was */
    const char *key;    /* sent as Authorization: Bearer; NULL: none. Never part of an error */
    int connect_ms, total_ms; /* total_ms 0: without end, as long as it does not stall */
    int stall_s;        /* less than HTTP_STALL_BYTES a second for so long ends it; 0: that is fine */
    size_t most_bytes;  /* of the answer's body */
    const char *too_long; /* what to do when it has more; NULL: "ask for fewer tokens" */
    /* Each piece of the body as it comes; answer has all but connect_ms by then. False ends it, with what is in err. */
    bool (*take)(void *arg, const struct http_answer *answer, const char *bytes, size_t n, hearth_error *err);
    /* Asked now and then, once a second at least: true ends it with HEARTH_ERR_CANCELLED. NULL: it goes on. */
    bool (*stop)(void *arg);
    void *arg;
};

/* A connection that stays open between requests to one place. One thread at a time. ca_file: certificates (PEM) to
 * trust instead of the system's, which must live as long; NULL: the system's. HEARTH_ERR_MEMORY. */
struct http_client *http_client_create(const char *ca_file, hearth_error *err);
void http_client_destroy(struct http_client *c); /* NULL is a no-op */
/* From now on all of its connections are through the Unix socket "unix:PATH" of this machine, and sentences name that:
 * the urls are to name this machine, http://localhost/... HEARTH_ERR_USAGE: a path that is empty or too long. */
bool http_client_through(struct http_client *c, const char *socket, hearth_error *err);

/* True: a whole answer came, of whatever status. False: HEARTH_ERR_IO for what the network did, HEARTH_ERR_FORMAT for
 * an answer that is too long or none of HTTP, HEARTH_ERR_USAGE for a request that is not sent (the key's rule); *answer
 * has what came until then. Sentences begin with the place's name. */
bool http_send(struct http_client *c, const struct http_request *r, struct http_answer *answer, hearth_error *err);
