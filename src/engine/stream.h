/* stream.h: one request on its way through the engine, and the events it gives.
 *
 * Written by the engine thread (the request's sequence, the ring's tail), read by one reader.
 * Events lie in a ring of fixed size; a reader that does not read stops its own sequence and
 * nobody else's. Two references: the caller's and the engine's. */
#pragma once
#include <assert.h>

#include "base/clock.h"
#include "base/sha256.h"
#include "base/thread.h"
#include "engine/registry.h"

enum {
    STREAM_RING_BYTES = 76 << 10, /* some 500 tokens until a reader is waited for */
    STREAM_RECORD_BYTES = 64, /* of an event besides its texts and alternatives */
    STREAM_TEXT_MAX_BYTES = 8 << 10, /* of one event: a token's text is at most 4 KB, plus what was held back */
    STREAM_EVENT_MAX_BYTES = 2 * STREAM_TEXT_MAX_BYTES + 5120, /* answer, thinking, and how a token was chosen */
    MAX_STOPS = 64,
    MAX_STOP_BYTES = 256,
    MAX_LOGIT_BIAS = 4096,
    MAX_ALTERNATIVES = 50,
};

struct hearth_stream {
    atomic_int n_refs;
    struct hearth_model *model;
    struct hearth_stream *next; /* in a queue */

    /* The request, copied. Immutable after submit, except prompt, which prepare fills. */
    hearth_request request; /* its pointers lead into arena */
    struct arena arena;
    const struct chat *chat;      /* the prompt is a conversation for this template; NULL: it is not */
    struct chat_input chat_input; /* until prepare has rendered it */
    bool starts_thinking;         /* the prompt ends inside thinking text */
    uint64_t text_bytes;          /* of the prompt as it was given */
    struct token_list prompt;
    atomic_bool cancelled;
    atomic_bool stopped;          /* set before cancelled: it ends as at a limit */
    struct sha256 *digest; /* NULL: not wanted */
    uint64_t end_mix;      /* logits_mix of the END event */
    hearth_sampling_order order;
    hearth_pooling pooling; /* embed: what holds for it */
    float *vector;          /* embed: [n_vector]; NULL: no pooling, or no embedding */
    size_t n_vector;
    bool pair_by_template;  /* the file says how a query and a document are put together, begin and end too */
    uint64_t *breakers; /* [n_vocab / 64, rounded up] in arena, filled by prepare; NULL: dry is off or has none */

    int64_t submit_ns, prepared_ns;

    /* Events. */
    struct lock lock;
    uint8_t *ring;     /* STREAM_RING_BYTES */
    size_t head, tail; /* bytes ever read and written */
    bool ended;        /* END was written */
    bool end_read;
    void (*wake)(void *arg);
    void *wake_arg;
    bool waking;   /* the engine thread is inside it */
    bool wake_due; /* engine side: events were written since */

    /* What the reader holds of the current event. */
    uint8_t *current; /* STREAM_EVENT_MAX_BYTES */

    hearth_receipt receipt; /* complete once ended */
    hearth_error error;
};

static_assert((int)HEARTH_MAX_DRAFT == (int)LOOKUP_MOST, "the public limit is the drafter's");

/* Copies and checks the request. NULL and err when it can never run. */
struct hearth_stream *stream_create(struct hearth_model *model, const hearth_request *request, hearth_error *err);
void stream_unref(struct hearth_stream *s);
void engine_poke(struct hearth_engine *e); /* engine.c: wake the engine thread */

void receipt_note(hearth_receipt *r, const char *fmt, ...) PRINTF(2, 3); /* one sentence and a newline */

/* Engine side. Whoever waits in hearth_stream_next() sees an event at once; the callback is told by stream_wake(), once
 * for all that came since: the answers of a step together, so that who writes them to sockets wakes once for all. */
bool stream_has_room(struct hearth_stream *s); /* for two more events of any size */
void stream_push(struct hearth_stream *s, const hearth_event *event);
/* The END event; receipt and error must be filled in. */
void stream_end(struct hearth_stream *s, const hearth_event *event);
bool stream_wake(struct hearth_stream *s); /* true: it was told; then engine_ring() once for all */
