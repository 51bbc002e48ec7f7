/* fieldtest.h: a model here against the same file in a running llama-server, on 50 prompts of ours.
 *
 *   fieldtest_texts.def     the prompts                      fieldtest_chats.c    conversations made of them
 *   fieldtest_peer.c        asks the server                  fieldtest_read.c     what it answers (pure)
 *   fieldtest_tests.c       tokens, templates                fieldtest_ask.c      log-probabilities, vectors
 *   fieldtest_compare.c     what is equal (pure)             fieldtest_report.c   what is printed
 *
 * What could not be compared is untested, and says why; nothing untested passes. */
#pragma once
#include <jansson.h>

#include "base/arena.h"
#include "base/buf.h"
#include "cli/command.h"
#include "server/api/json_in.h"
#include "store/http_client.h"

enum {
    FIELDTEST_N = 50,            /* prompts */
    FIELDTEST_SHOWN = 5,         /* differences of a kind that are kept to be shown */
    FIELDTEST_MOST_TOP = 50,     /* likeliest tokens of a place */
    FIELDTEST_MOST_TOKENS = 512, /* of a continuation */
    FIELDTEST_WHY_BYTES = sizeof ((hearth_error *)0)->message,
};

extern const struct str fieldtest_texts[FIELDTEST_N];

/* ---- what both sides say ---- */

/* A token of a continuation, and the likeliest ones where it came. */
struct fieldtest_place {
    int32_t id;
    int n_top; /* 0: they are not known */
    hearth_alternative top[FIELDTEST_MOST_TOP];
};

struct fieldtest_answer {
    struct fieldtest_place *places; /* [room], owned */
    size_t n, room;
    bool ended; /* at an end-of-generation token, which may be the last place, or be none of them */
};
bool fieldtest_answer_make(struct fieldtest_answer *a, size_t room, hearth_error *err);

/* ---- what is equal (pure) ---- */

struct fieldtest_limits {
    bool quantized;           /* these are for a file with quantized weights */
    double median, largest;   /* |difference| of log-probabilities: of all, and of each likely one */
    double cosine;            /* 1 - cosine of two vectors */
};
extern const double fieldtest_likely; /* log-probability from which on a token is likely, on one of the sides */

/* types: as hearth_file_info has them, "Q4_K 78 %, F32 1 %". */
struct fieldtest_limits fieldtest_limits_for(const char *types);

/* All |differences| that were found. */
struct fieldtest_deltas {
    float *all; /* [n], owned */
    size_t n, room;
    double largest, largest_likely;
    bool failed; /* out of memory */
};
void fieldtest_deltas_add(struct fieldtest_deltas *d, double delta);
double fieldtest_deltas_median(struct fieldtest_deltas *d); /* sorts them; 0: there are none */

/* Two continuations of one prompt. */
struct fieldtest_apart {
    int parts_at;      /* the place where they take another token; -1: nowhere */
    bool is_tie;       /* there both hold the two tokens to be about as likely */
    double worst;      /* the largest |difference| of a likely token, or what it is at the least where one side does */
    int worst_place;   /* not name it */
    int32_t worst_id;
    float worst_here, worst_there;
    bool is_at_least;  /* one side does not name it: worst_here or worst_there is the least likely one that it names */
};
/* is_special(arg, id): the token ends or marks something, and is no text. */
void fieldtest_compare(struct fieldtest_apart *out, const struct fieldtest_answer *here,
                       const struct fieldtest_answer *there, const struct fieldtest_limits *limits,
                       bool (*is_special)(void *arg, int32_t id), void *arg, struct fieldtest_deltas *deltas);
/* 1 - cosine; 2 where one has no direction. */
double fieldtest_distance(const float *a, const float *b, size_t n);

/* ---- what the server says, out of its JSON (pure) ----
 * False: it is something else, err says what (HEARTH_ERR_FORMAT), or HEARTH_ERR_MEMORY. */

struct fieldtest_facts {
    char build[100], path[300], alias[100]; /* one line each; "": not said */
    int n_ctx;                              /* 0: not said */
    int has_our_template;                   /* 1: the same text; 0: another one; -1: not said */
    int64_t n_vocab, n_embd, n_params, n_bytes; /* -1: not said */
};
bool fieldtest_read_props(const json_t *o, const char *our_template, struct fieldtest_facts *out, hearth_error *err);
bool fieldtest_read_models(const json_t *o, struct fieldtest_facts *out, hearth_error *err);
/* *ids: mem_alloc'ed. */
bool fieldtest_read_tokens(const json_t *o, int n_vocab, int32_t **ids, size_t *n, hearth_error *err);
bool fieldtest_read_prompt(const json_t *o, struct str *out, hearth_error *err); /* lives as long as o */
/* The bytes of tokens: where an answer leaves out what it has of some, they say of which. */
struct fieldtest_words {
    struct str (*text)(void *arg, int32_t id);
    void *arg;
};
/* out has room for as many places as were asked for; more are cut off. words NULL: not known. */
bool fieldtest_read_answer(const json_t *o, int n_vocab, const struct fieldtest_words *words,
                           struct fieldtest_answer *out, hearth_error *err);
bool fieldtest_read_vector(const json_t *o, float *out, size_t n, hearth_error *err);

/* text for a person, as it would stand in a C string: line feeds as \n, what is not UTF-8 as \xff, what nobody sees as
 * \u200b; at most `most` bytes of it and "...". */
void fieldtest_put_visible(struct buf *out, struct str text, size_t most);

/* ---- the server ---- */

struct fieldtest_peer {
    struct http_client *http;
    struct http_place place;
    char base[HTTP_URL_BYTES]; /* what paths are appended to */
    char key[2048];            /* "": none */
    int total_ms;
    struct buf body;           /* of the last answer */
};
/* Release with fieldtest_peer_close(), also after a failure. HEARTH_ERR_USAGE, HEARTH_ERR_MEMORY. */
bool fieldtest_peer_open(struct fieldtest_peer *p, const char *url, const char *key_file, const char *ca_file,
                         int timeout_s, hearth_error *err);
void fieldtest_peer_close(struct fieldtest_peer *p);
/* POST body (released; NULL: memory was out when it was made), or GET where `get` says so. *status: of HTTP; 0: nothing
 * came. False: HEARTH_ERR_IO, HEARTH_ERR_FORMAT with a sentence that begins with the server's name; HEARTH_ERR_MEMORY,
 * HEARTH_ERR_CANCELLED. Release with json_body_free(). */
bool fieldtest_get(struct fieldtest_peer *p, const char *path, struct json_body *out, int *status, hearth_error *err);
bool fieldtest_post(struct fieldtest_peer *p, const char *path, json_t *body, struct json_body *out, int *status,
                    hearth_error *err);

/* ---- the test ---- */

enum fieldtest_kind { FIELDTEST_TOKENS, FIELDTEST_TEMPLATES, FIELDTEST_LOGPROBS, FIELDTEST_VECTORS, FIELDTEST_N_KINDS };
extern const char *const fieldtest_kind_names[FIELDTEST_N_KINDS]; /* "log-probabilities" */
extern const char *const fieldtest_kind_keys[FIELDTEST_N_KINDS];  /* of JSON: "log_probabilities" */

struct fieldtest_difference {
    int prompt; /* from 1 */
    const char *text, *here, *there;
};

struct fieldtest_result {
    const char *nothing; /* why there is nothing to compare; NULL: there is something */
    int n;               /* that were compared, or should have been */
    int n_equal, n_different, n_untested;
    int n_failed;        /* one after the other, up to now: the server is not asked for ever */
    int n_noted;         /* equal, but for something that `note` says */
    const char *note;
    char untested[FIELDTEST_WHY_BYTES]; /* the first reason; "" */
    char beyond[FIELDTEST_WHY_BYTES];   /* what all of them together are above a limit; "": nothing is */
    struct fieldtest_difference shown[FIELDTEST_SHOWN];
    int n_shown;
};

enum fieldtest_verdict { FIELDTEST_PASSED, FIELDTEST_FAILED, FIELDTEST_INCOMPLETE };
extern const char *const fieldtest_verdict_names[]; /* "passed", "failed", "incomplete" */

struct fieldtest {
    struct fieldtest_peer peer;
    hearth_engine *engine;
    hearth_model *model;
    hearth_file *file;
    hearth_file_info info;
    char file_name[200];
    const char *template_from; /* as hearth_template_info has it; "": there is none */
    int n_top, n_tokens;  /* likeliest tokens, and of a continuation */
    int n_ctx_tokens;     /* of the shorter context of the two */
    struct fieldtest_limits limits;
    struct fieldtest_facts facts;
    struct fieldtest_result kind[FIELDTEST_N_KINDS];
    struct fieldtest_deltas deltas;
    struct fieldtest_answer here, there;
    /* Log-probabilities: of the prompts that were compared, the first tokens that are equal, and continuations. */
    int n_first_equal, n_first_ties, n_same, n_ties, earliest, n_cut;
    double farthest;      /* vectors: the largest 1 - cosine */
    struct arena arena;   /* of what is shown */
    bool out_of_memory;
    bool terminal;
};

/* False: the test cannot go on (memory, Ctrl-C, the engine); what the server does is in the results. */
bool fieldtest_tokens(struct fieldtest *t, hearth_error *err);
bool fieldtest_templates(struct fieldtest *t, hearth_error *err);
bool fieldtest_logprobs(struct fieldtest *t, hearth_error *err);
bool fieldtest_vectors(struct fieldtest *t, hearth_error *err);

/* Conversation i (from 0) in the form of a chat API, of those that the template can render. NULL: memory is out. */
json_t *fieldtest_chat(int i, const hearth_template_info *info);

/* For those above. */
void fieldtest_show(const struct fieldtest *t, enum fieldtest_kind kind, int i); /* how far it is */
void fieldtest_equal(struct fieldtest *t, enum fieldtest_kind kind);
void fieldtest_different(struct fieldtest *t, enum fieldtest_kind kind, int i, struct str text, struct str here,
                         struct str there);
/* Prompt i could not be compared, for what err says, which is cleared; false where that ends the test. */
bool fieldtest_untested(struct fieldtest *t, enum fieldtest_kind kind, hearth_error *err);
/* The server has failed too often: the prompts from i on are untested. */
bool fieldtest_gives_up(struct fieldtest *t, enum fieldtest_kind kind, int i, int n);

enum fieldtest_verdict fieldtest_kind_verdict(const struct fieldtest_result *r);
enum fieldtest_verdict fieldtest_verdict(const struct fieldtest *t);

void fieldtest_print(struct fieldtest *t);
json_t *fieldtest_json(struct fieldtest *t); /* a new reference; NULL when memory is out */
