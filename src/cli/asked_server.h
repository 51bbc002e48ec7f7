/* asked_server.h: a running hearth serve, asked about its models, or told something of them. */
#pragma once
#include <jansson.h>

#include "base/buf.h"
#include "cli/opts.h"
#include "store/http_client.h"

enum { ASKED_KEY_BYTES = 2048 };

/* Options of commands that do so. */
#define OPT_SERVER_ROW { .name = "server", .type = OPT_TEXT, .value = "URL", .dflt = "http://127.0.0.1:8080", \
                         .help = "where hearth serve listens, as its start screen says; /v1 may be left out; " \
                                 "unix:PATH: the Unix socket of --host" }
#define OPT_KEY_FILE_ROW { .name = "key-file", .type = OPT_TEXT, .value = "FILE", \
                           .help = "a file with the key for the server in its first line that is not empty and no # " \
                                   "comment; it goes over https, or to this machine, and is never shown" }
#define OPT_CA_FILE_ROW { .name = "ca-file", .type = OPT_TEXT, .value = "FILE", .dflt = "those of the system", \
                          .help = "certificates (PEM) to trust, as that of a server of one's own" }

struct asked_server {
    struct http_client *http;
    struct http_place place;
    char base[HTTP_URL_BYTES]; /* without /v1 and a slash at its end */
    char key[ASKED_KEY_BYTES]; /* "": none */
    struct buf body;           /* of the last answer */
};

/* What the options say; ca_file's text must live as long. Release with asked_close(), also after a failure. */
bool asked_open(struct asked_server *s, const struct opt_value *url, const struct opt_value *key_file,
                const struct opt_value *ca_file, hearth_error *err);
void asked_close(struct asked_server *s);

/* GET path, or POST with nothing in it. The answer's JSON, to be released with json_decref(). NULL: HEARTH_ERR_IO, also
 * for a refusal in the server's words; HEARTH_ERR_FORMAT: it is no answer of hearth's. */
json_t *asked_json(struct asked_server *s, const char *path, bool post, hearth_error *err);

/* POST path with nothing in it, for events: each as JSON, until the server has no more, or `event` returns false (with
 * or without what is in err), or `stop` true: then *err is HEARTH_ERR_CANCELLED. */
struct asked_events {
    bool (*event)(void *arg, const json_t *o, hearth_error *err);
    bool (*stop)(void *arg); /* asked once a second at least */
    void *arg;
};
bool asked_events(struct asked_server *s, const char *path, const struct asked_events *e, hearth_error *err);
