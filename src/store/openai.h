/* openai.h: a question to a server that speaks OpenAI's API, and its answer as it streams. */
#pragma once
#include <jansson.h>

#include "base/buf.h"
#include "store/http_client.h"

enum {
    OPENAI_MOST_BYTES = 64 << 20, /* of an answer with all that JSON puts around it */
    OPENAI_SAID_BYTES = 220,      /* of what the server says itself of a failure, as far as it is shown */
};

/* ---- one answer ---- */

struct openai_answer {
    int status;        /* of HTTP; 0: nothing came */
    double connect_ms; /* as in http_answer */
    /* clock_ns() when it was asked, when the first and the last piece of text or of thinking came, and at its end.
     * 0: that was not. */
    int64_t start_ns, first_ns, last_ns, end_ns;
    struct buf text, thinking;
    int n_pieces; /* of the two: events with some */
    /* What the server counted; -1: it did not say. Thinking is part of the output, also where no text of it came. */
    int64_t n_prompt_tokens, n_cached_tokens, n_output_tokens, n_thinking_tokens;
    char finish[24];  /* "stop", "length"; "": not said */
    char model[100];  /* what the server calls it; "" */
    bool done;        /* the stream said that it ends */
};
void openai_answer_begin(struct openai_answer *a); /* fine on a zeroed struct, and again */
void openai_answer_free(struct openai_answer *a);

/* The data of one event into the answer; now_ns: when it came. Pure. HEARTH_ERR_FORMAT: it is no chunk of an answer;
 * HEARTH_ERR_IO: it is an error of the server, in its words; HEARTH_ERR_MEMORY. */
bool openai_read_event(struct openai_answer *a, struct str data, int64_t now_ns, hearth_error *err);

/* The message in a body that says what went wrong, in one line; "" when there is none. Pure. */
void openai_error_text(char *out, size_t room, struct str body);

/* ---- a server ---- */

struct openai_server {
    struct http_client *http;
    struct http_place place;
    char base[HTTP_URL_BYTES]; /* what endpoints are appended to: "https://api.example.com/v1" */
    const char *key;           /* NULL: none */
    int total_ms;              /* for an answer */
    bool (*stop)(void *arg);   /* as in http_request */
    bool new_limit_name;       /* it wants max_completion_tokens in the place of max_tokens, and said so */
};

/* url: with or without /v1, a slash, or an endpoint at its end. key, ca_file (NULL: none) and stop must live as long.
 * HEARTH_ERR_USAGE; HEARTH_ERR_MEMORY. Release with openai_server_close(), also after a failure. */
bool openai_server_open(struct openai_server *s, const char *url, const char *key, const char *ca_file, int total_ms,
                        bool (*stop)(void *arg), hearth_error *err);
void openai_server_close(struct openai_server *s);

/* The name of the only model that it has, into out. HEARTH_ERR_USAGE names some of those that it has, where they are
 * none or several. */
bool openai_only_model(struct openai_server *s, char *out, size_t room, hearth_error *err);

/* Ask /chat/completions, or /completions, and read the stream. body: the request's fields, to which stream and
 * stream_options are added. False: no whole answer came, err says why in a sentence that begins with the server's name,
 * and what came until then is in *a. */
bool openai_ask(struct openai_server *s, bool chat, json_t *body, struct openai_answer *a, hearth_error *err);
