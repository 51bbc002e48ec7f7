/* engine.h: the one engine thread and what it owns. */
#pragma once
#include "engine/sched.h"
#include "engine/seq.h"

enum { ENGINE_QUEUE_MAX = 256 };

/* First in, first out; under the lock of its owner. */
struct stream_queue {
    struct hearth_stream *first, *last;
    int n;
};
void queue_push(struct stream_queue *q, struct hearth_stream *s);
struct hearth_stream *queue_pop(struct stream_queue *q); /* NULL: empty */

struct hearth_engine {
    const struct kernels *kernels;
    struct pool *pool;
    int n_threads, n_threads_prefill; /* of steps without and with prompt tokens */
    int n_seqs, n_step_tokens;
    uint64_t budget_bytes;

    struct lock lock;           /* guards what follows, up to the blank line */
    struct stream_queue raw;    /* submitted, to be tokenized by the helper thread */
    struct stream_queue inbox;  /* ready to run */
    int n_admitted;             /* streams between submit and END */
    struct hearth_model *model; /* the attached one; NULL: none */
    bool attached;              /* its memory is ready */
    bool stepping;              /* the engine thread is inside a step: its model must stay */
    bool stop;
    unsigned pokes; /* something changed: look again */

    /* Owned by the engine thread while a model is attached. */
    struct seq *seqs; /* [n_seqs] */
    uint64_t n_begun;
    unsigned n_steps; /* whose turn it is to draft first */
    struct batch batch;
    int32_t *batch_tokens;      /* [n_step_tokens] */
    struct batch_slice *slices; /* [n_seqs] */

    struct thread thread, helper;
};

/* The helper thread: text to tokens, one request at a time, at low priority. */
void prepare_main(void *engine);

/* Memory of the sequences for a model, and back. Caller thread, while nothing runs. */
bool engine_attach(struct hearth_engine *e, struct hearth_model *m, hearth_error *err);
void engine_detach(struct hearth_engine *e, struct hearth_model *m);
