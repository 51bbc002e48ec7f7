/* endpoint.h: what an endpoint is: pure functions from JSON to the neutral request, and from events to JSON. One file
 * each, with one line in server/routes.def. */
#pragma once
#include "server/api/ask.h"
#include "server/api/reply.h"

extern const struct dialect native_dialect; /* completion.c: llama.cpp's own */

/* What follows the '?' of a request to explain an answer: whole numbers. */
enum { EXPLAIN_TOKEN, EXPLAIN_TOP, EXPLAIN_CHOICE, N_EXPLAIN_PARAMETERS };
struct explain_parameter {
    const char *name, *help;
    int most, dflt;
};
extern const struct explain_parameter explain_parameters[N_EXPLAIN_PARAMETERS]; /* request_tokens.c */

struct endpoint {
    /* GET: the whole body from what the server knows. tail: what follows the route's path, as in /v1/models/ID. */
    bool (*get)(const struct view *v, const struct load_figures *now, const char *tail, struct buf *out,
                struct problem *p);
    const char *content_type; /* of get; NULL: application/json */
    bool of_model;            /* get: of one model, the one that ?model= names, or the first */
    enum memory_seen memory;  /* get: what is read for it */
    bool of_request;          /* get: tail is the id of a request of the same key, and now->request is it */
    bool explains;            /* GET: tail begins with the id of a recorded answer, computed once more (again.c) */
    bool cancels;             /* that request ends then; without of_request all that there are */
    /* A POST without a body: tail begins with the name of a model, which is told so; v is that one. */
    enum { TELLS_NOTHING, TELLS_WAKE, TELLS_SLEEP } tells;

    /* POST: the fields into *a (after ask_init()). Nothing of *a may point into the JSON. */
    unsigned on; /* ON_..., for the table of fields */
    bool (*read)(struct ask *a, const struct fields *f, const struct view *v, struct problem *p);
    /* Of operations that generate nothing: the answer. NULL: memory is out. */
    json_t *(*write)(const struct ask *a, const struct view *v);
    const struct dialect *dialect; /* of those that generate */
};
