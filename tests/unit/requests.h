/* requests.h: tests that ask an engine for answers: a tiny model, requests of token ids, and what came of them. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "base/rng.h"
#include "tiny.h"

#include <cmocka.h> /* after our headers: it has a macro fail() */

enum { ANSWER_IDS = 512 };

struct answer {
    int32_t ids[ANSWER_IDS];
    uint64_t mixes[ANSWER_IDS], end_mix;
    int n;
    hearth_end_reason reason;
    hearth_error error;
    hearth_receipt receipt;
};

struct opened {
    char path[256];
    hearth_engine *engine;
    hearth_model *model;
};

static inline void open_model(struct opened *o, const char *name, struct tiny t, hearth_engine_options eo,
                              hearth_model_options mo)
{
    hearth_error err = { 0 };
    tiny_path(o->path, sizeof o->path, name);
    tiny_write(o->path, &t);
    mo.source.path = o->path;
    o->engine = hearth_engine_create(&eo, &err);
    o->model = o->engine ? hearth_model_open(o->engine, &mo, &err) : NULL;
    if (!o->model)
        fail_msg("%s: %s", o->path, err.message);
}

static inline void close_model(struct opened *o)
{
    hearth_model_release(o->model);
    hearth_engine_destroy(o->engine);
    unlink(o->path);
}

/* Printable tokens of the tiny vocabulary, the same for the same seed. */
static inline void fill_ids(int32_t *ids, int n, uint64_t seed)
{
    struct rng r = { seed, 0 };
    for (int i = 0; i < n; i++)
        ids[i] = 260 + (int32_t)rng_below(&r, TINY_VOCAB - 260);
}

static inline hearth_request request_of(const int32_t *ids, int n, int max_tokens)
{
    hearth_request r = { .prompt_ids = ids, .n_prompt_ids = (size_t)n, .max_tokens = max_tokens, .ignore_eos = true,
                         .want_digest = true, .want_logits_mix = true, .has_seed = true, .seed = 5 };
    hearth_sampling_defaults(NULL, &r.sampling, NULL);
    return r;
}

static inline hearth_stream *submit(const struct opened *o, const hearth_request *r)
{
    hearth_error err = { 0 };
    hearth_stream *s = hearth_submit(o->model, r, &err);
    if (!s)
        fail_msg("%s", err.message);
    return s;
}

static inline void collect(hearth_stream *s, struct answer *a)
{
    hearth_event e;
    *a = (struct answer){ 0 };
    while (hearth_stream_next(s, &e)) {
        a->reason = e.reason;
        a->end_mix = e.type == HEARTH_EVENT_END ? e.logits_mix : 0;
        if (e.type == HEARTH_EVENT_TOKEN && a->n < ANSWER_IDS) {
            a->mixes[a->n] = e.logits_mix;
            a->ids[a->n++] = e.id;
        }
    }
    a->error = *hearth_stream_error(s);
    assert_true(hearth_stream_receipt(s, &a->receipt));
    hearth_stream_close(s);
}

static inline void answer(const struct opened *o, const hearth_request *r, struct answer *a)
{
    collect(submit(o, r), a);
}

static inline void assert_same(const struct answer *a, const struct answer *b)
{
    assert_string_equal(a->receipt.digest, b->receipt.digest);
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->ids, b->ids, (size_t)a->n * sizeof *a->ids);
    assert_memory_equal(a->mixes, b->mixes, (size_t)a->n * sizeof *a->mixes);
    assert_int_equal(a->reason, b->reason);
}
