/* reply.h: an answer in the making: events of one or several streams into JSON. Pure; dialects write it. */
#pragma once
#include "server/api/ask.h"

/* One of the answers of a request. */
struct choice {
    int index, prompt;
    struct buf text, thinking; /* so far; kept when the answer is not streamed, or its places are asked for */
    struct buf frame;          /* what its chunks have around their text, the first n_before bytes before it */
    size_t n_before;
    bool frame_tried;
    json_t *tokens;            /* logprobs in the chat form, when asked for: all of them, or those of one event */
    json_t *prompt_tokens;     /* the same of the prompt, with echo */
    json_t *ids;               /* when asked for */
    json_t *end_token;         /* of an answer that is explained: how the token was chosen that ended it */
    bool is_another;           /* than the one that was recorded */
    size_t n_text_chars;       /* so far: Unicode characters */
    int n_tokens;
    bool begun, ended;
    hearth_end_reason reason;
    int n_prompt_tokens;       /* of one of several inputs, after the end */
    double score;              /* of a document */
    bool counted;              /* what it used is in the tally of its request */
    hearth_receipt *receipt;   /* after the end; mem_alloc'ed; of several inputs only the first one's */
};

struct reply {
    const struct ask *ask;
    const struct view *view;
    const struct dialect *dialect;
    char id[HEARTH_REQUEST_ID_BYTES + 16]; /* "chatcmpl-..." */
    int64_t created_s;
    struct choice *choices;    /* [n_choices], mem_alloc'ed */
    int n_choices, n_ended;
    bool failed;               /* memory is out: sticky */
};

/* How an API writes. out: bytes of a stream as they are sent, or, for whole(), the body. */
struct dialect {
    const char *id_prefix;
    /* The beginning of a stream. */
    void (*begin)(struct reply *r, struct buf *out);
    /* An event of a choice, its end included: that has e->reason, and the choice its receipt. */
    void (*event)(struct reply *r, struct choice *c, const hearth_event *e, struct buf *out);
    /* How far the prompt of a choice is; when asked for. */
    void (*progress)(struct reply *r, struct choice *c, json_t *progress, struct buf *out); /* progress is taken */
    /* After the end of the last one. */
    void (*end)(struct reply *r, struct buf *out);
    json_t *(*whole)(struct reply *r); /* NULL: memory is out */
    /* Of those that answer with vectors, which are never streams: the vector of a choice, before its end is taken; and
     * the body. False: memory is out. */
    void (*vector)(struct reply *r, struct choice *c, const float *v, size_t n);
    bool (*put)(struct reply *r, struct buf *out);
    /* What it keeps of each token, and of the end, besides what all keep; before c->n_tokens has it. NULL: nothing. */
    void (*gather)(struct reply *r, struct choice *c, const hearth_event *e);
};

/* n_choices of the request: prompts times n. False: memory is out. */
bool reply_init(struct reply *r, const struct ask *a, const struct view *v, const struct dialect *d, const char *id,
                int64_t now_s);
void reply_free(struct reply *r);

/* Memory that taking this event needs until the answer is sent: what is gathered of it, and its text in the answer. */
size_t reply_bytes(const struct reply *r, const hearth_event *e, bool streaming);

/* An event of choice i goes into the reply; streaming: what is to be sent is appended to out (NULL: not streaming).
 * receipt: with the end event. */
void reply_take(struct reply *r, int i, const hearth_event *e, const hearth_receipt *receipt, struct buf *out);

/* For dialects. ---------------------------------------------------------------------------------------------- */

/* JSON (taken) as one event, or as compact text. Failure is sticky in r. */
void reply_sse(struct reply *r, struct buf *out, json_t *j);
bool json_put(struct buf *out, json_t *j);

/* Of an answer that is explained, which has one choice: whether the next token, or the end, is wanted. */
static inline bool reply_explains_token(const struct reply *r)
{
    return r->ask->only_token < 0 || r->ask->only_token == r->choices[0].n_tokens;
}
/* An item (taken) to a list of a choice, which may be NULL yet: this place's, or that of all places. */
void reply_add(struct reply *r, json_t **list, json_t *item);
/* Text that the engine promises to be UTF-8; what is none becomes U+FFFD. */
json_t *json_of_bytes(const char *text, size_t n);
/* "stop" or "length"; for a stream that was cut short "error". */
const char *reply_finish(const struct choice *c);
/* {prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details, completion_tokens_details} of all choices. */
json_t *reply_usage(const struct reply *r);
/* {prompt_tokens, total_tokens} of requests that are answered without tokens. */
json_t *reply_usage_of_inputs(const struct reply *r);
/* The receipt of one choice, or {choices: [...]} of all (c NULL), with what was asked for, ignored and adjusted. */
json_t *reply_receipt(const struct reply *r, const struct choice *c);
/* The last three alone. */
json_t *reply_request(const struct reply *r);
/* llama.cpp's `timings`. */
json_t *reply_timings(const struct choice *c);
/* Places as {tokens, token_logprobs, top_logprobs, text_offset}. *at: Unicode characters before the first; after it
 * those before what follows. skip: characters of the first one's text that are not part of the text. */
json_t *reply_legacy_logprobs(const json_t *places, size_t *at, size_t skip);
size_t reply_chars_of_places(const json_t *places); /* Unicode characters of their texts */
size_t reply_count_chars(const char *text, size_t n);
/* {"error": ...} as an event: how a stream ends that had begun. */
void reply_error(struct reply *r, const struct problem *p, struct buf *out);

/* A set of keys, sticky. */
struct json_out {
    json_t *json;
    bool failed;
};
struct json_out json_begin(void);
void json_key(struct json_out *o, const char *key, json_t *value); /* taken */
json_t *json_end(struct json_out *o);                              /* NULL: memory was out */

/* How streams of OpenAI's dialects end: a chunk of usage and receipt where that was asked for, begun by `chunk`, and
 * [DONE]. */
void reply_end_openai(struct reply *r, struct buf *out, struct json_out (*chunk)(const struct reply *r));
