/* ask.h: what a client wants, whatever API it speaks: the neutral form of a request. Pure. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "record/recording.h"
#include "server/api/fields.h"
#include "server/api/messages.h"
#include "server/api/view.h"

enum {
    ASK_MAX_MESSAGES = 4096,
    ASK_MAX_STOPS = 64,
    ASK_MAX_STOP_BYTES = 256,
    ASK_MAX_LOGIT_BIAS = 4096,
    ASK_MAX_PROMPTS = 64,
    ASK_MAX_CHOICES = 64,
    ASK_MAX_INPUTS = 2048, /* of embeddings */
};

/* One prompt: spans, or ids. */
struct ask_prompt {
    const hearth_span *spans; /* NULL: ids */
    size_t n_spans;
    hearth_text text;         /* what the client calls its prompt; text NULL: ids */
    int32_t *ids;
    size_t n_ids;
};

enum ask_op { OP_GENERATE, OP_TOKENIZE, OP_DETOKENIZE, OP_RENDER };

struct ask {
    struct arena arena; /* what all pointers lead into; the body may go after reading */
    enum ask_op op;
    unsigned on;        /* the endpoint: ON_... */
    char model[96];     /* the asked name; "": none */

    struct chat_json chat; /* chat, and OP_RENDER */
    struct ask_prompt *prompts;
    int n_prompts;
    int n;                 /* answers to each */
    hearth_request request; /* of all of them, without the prompt */
    hearth_sampling_order order;

    bool preset_system, preset_kwargs, preset_thinking; /* came from the model's preset */
    /* Embeddings: values of each vector that are wanted, and how they are written. */
    int n_dimensions;
    bool base64, as_they_are; /* not normalized */
    const char *inputs;       /* the field they are in; static */
    bool texts_form;          /* reranking: as text-embeddings-inference has it */
    int top_n;
    bool stream, include_usage, echo, logprobs, return_tokens;
    bool no_answer; /* echo of the prompt, and no token more */
    int ping_ms;
    size_t text_bytes; /* of the longest prompt */
    int timeout_ms; /* 0: none but the server's */
    struct notes notes;

    /* OP_TOKENIZE: text in, ids out; OP_DETOKENIZE: ids in, text out; OP_RENDER: text out. */
    hearth_text text;
    int32_t *ids;
    size_t n_ids;
    bool add_special, parse_special, with_pieces;
    struct buf out_text;

    /* Of an answer that is explained: what was recorded of it, and the only token that is wanted (-1: all). */
    struct recording recording;
    int64_t only_token;
};

/* What every request to a model has. */
void ask_read_model(struct ask *a, const struct fields *f, const struct view *v);
/* Every field that all endpoints that generate have in common, after fields_read(). */
bool ask_read_common(struct ask *a, const struct fields *f, const struct view *v, struct problem *p);
/* The fields of a conversation: CHAT and TEMPLATE. */
bool ask_read_chat(struct ask *a, const struct fields *f, const struct view *v, struct problem *p);
/* The field of a prompt, or, with most above 1, of a list of them. */
bool ask_read_prompts(struct ask *a, const struct fields *f, enum field id, int most, struct problem *p);
/* A list of token ids. name: the field. */
bool ask_read_ids(struct ask *a, const json_t *list, const char *name, int n_vocab, int32_t **ids, size_t *n,
                  struct problem *p);
/* Text of a field, copied; text NULL when the field is not there, or memory is out (p is then set). */
bool ask_read_text(struct ask *a, const struct fields *f, enum field id, hearth_text *out, struct problem *p);
bool ask_copy_text(struct ask *a, const json_t *j, hearth_text *out, struct problem *p);
bool ask_no_memory(struct problem *p);

bool ask_init(struct ask *a, unsigned on, struct problem *p);
void ask_free(struct ask *a); /* also after a failure; fine on a zeroed one */
