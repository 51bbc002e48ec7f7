/* recording.h: one answer, whole: what a replay needs, and what it is compared with.
 *
 * Its receipt has most of it (docs/receipt.md: model, revision, sampling, seed); the rest is the request's limits and
 * texts, the tokens in and out, and a hash of the logits that each came from. As a file (`hearth export`) it is one
 * JSON object, and as such it comes from strangers: it is read with limits and checked. */
#pragma once
#include <jansson.h>

#include "base/arena.h"
#include "hearth/hearth.h"

enum { RECORDING_MAX_TOKENS = 16 << 20, RECORDING_ARENA_BYTES = 8 << 20 };

struct recording {
    json_t *receipt; /* receipt_to_json() */
    json_t *request; /* recording_of_request() */
    int32_t *prompt; /* mem_alloc'ed, as the model read it */
    size_t n_prompt;
    int32_t *output; /* mem_alloc'ed; the token that ended it is none of them */
    uint64_t *mixes; /* hearth_event.logits_mix of each; NULL: none were kept */
    size_t n_output;
    uint64_t end_mix; /* of the END event; 0: no step chose the end */
};

void recording_free(struct recording *r); /* leaves it empty */

/* Without what can be read: tokens, texts and biases of the request, its ids, the token that a prefix ended at. It asks
 * for nothing then. False: out of memory, and it is half done. */
bool recording_redact(struct recording *r);

/* What the receipt lacks of a request: max_tokens, stop, logit_bias. A new reference; NULL: out of memory. */
json_t *recording_of_request(const hearth_request *request);

/* The same request again, its prompt as tokens. Its pointers lead into the recording and the arena, which must outlive
 * it. HEARTH_ERR_FORMAT when something is missing or cannot be. */
bool recording_ask(const struct recording *r, struct arena *arena, hearth_request *request, hearth_error *err);

/* A text of an object of the receipt, as "model", "identity"; "": it has none. */
const char *recording_text(const struct recording *r, const char *object, const char *key);
/* What keys and values were kept as: another type is another arithmetic. HEARTH_ERR_FORMAT. */
bool recording_kv_type(const struct recording *r, hearth_kv_type *type, hearth_error *err);

/* As a file. NULL: out of memory. */
json_t *recording_to_json(const struct recording *r);
/* HEARTH_ERR_FORMAT: not one of ours, or damaged. On failure it is empty. */
bool recording_from_json(struct recording *r, const json_t *json, hearth_error *err);
