/* tape.c: what the flight recorder gets of an exchange. http thread, but for tape_begin(). */
#include "base/alloc.h"
#include "record/recorder.h"
#include "server/core.h"

/* Of the memory for requests, for so many tokens at once: an id and a mix each, in buffers that double. */
enum { PIECE_TOKENS = 128, PIECE_BYTES = PIECE_TOKENS * 2 * (int)(sizeof(int32_t) + sizeof(uint64_t)) };

/* What explains an answer is none. */
static struct recorder *recorder_of(const struct exchange *x)
{
    return x->route->endpoint->explains ? NULL : x->server->options.recorder;
}

/* Where memory is out there is no body, and that is all. */
void tape_begin(struct exchange *x)
{
    if (recorder_is_full(recorder_of(x)) && !x->ask.request.embed) /* there are no tokens to answer with */
        x->tapes = mem_alloc((size_t)x->n_streams * sizeof *x->tapes);
}

static void lose(struct tape *t)
{
    buf_free(&t->output);
    buf_free(&t->mixes);
    t->lost = true;
}

void tape_token(struct exchange *x, int i, const hearth_event *e)
{
    struct tape *t = x->tapes ? &x->tapes[i] : NULL;
    if (!t || t->lost || e->type != HEARTH_EVENT_TOKEN)
        return;
    if (t->output.len % (PIECE_TOKENS * sizeof e->id) == 0) {
        if (!memory_take(&x->server->memory, PIECE_BYTES)) {
            lose(t);
            return;
        }
        x->reserved_bytes += PIECE_BYTES;
    }
    buf_put(&t->output, &e->id, sizeof e->id);
    buf_put(&t->mixes, &e->logits_mix, sizeof e->logits_mix);
    if (t->output.failed || t->mixes.failed)
        lose(t);
}

/* What is known without the engine. asked: room for JSON. */
static struct record describe(struct exchange *x, int i, struct buf *asked)
{
    const struct tape *t = x->tapes ? &x->tapes[i] : NULL;
    struct record record = {
        .key = x->key ? x->key->name : NULL,
        .source = x->route->path,
        .model = served_view(x)->model_id,
        .choice = i,
    };
    if (!t || t->lost || !json_put(asked, reply_request(&x->reply)))
        return record;
    record.request = &x->ask.request;
    record.output = (const int32_t *)(const void *)t->output.ptr;
    record.mixes = (const uint64_t *)(const void *)t->mixes.ptr;
    record.n_output = t->output.len / sizeof(int32_t);
    record.n_mixes = t->mixes.len / sizeof(uint64_t);
    record.asked = asked->ptr;
    return record;
}

void tape_end(struct exchange *x, int i, const hearth_event *e, const hearth_receipt *receipt)
{
    struct buf asked = { 0 };
    if (!recorder_of(x))
        return;
    if (x->tapes && e->logits_mix && !x->tapes[i].lost) /* of the token that ended it */
        buf_put(&x->tapes[i].mixes, &e->logits_mix, sizeof e->logits_mix);
    struct record record = describe(x, i, &asked);
    record.receipt = receipt;
    record.status = x->begun || x->problem.code == PROBLEM_none ? 200 : problem_status(&x->problem);
    if (record.request)
        hearth_stream_prompt_ids(x->streams[i], &record.prompt, &record.n_prompt);
    recorder_put(recorder_of(x), &record);
    buf_free(&asked);
}

/* Their receipts come within a step, and nobody is there any more to wait for them but the recorder. */
void tape_leave(struct exchange *x)
{
    for (int i = 0; recorder_of(x) && i < x->n_streams; i++) {
        struct buf asked = { 0 };
        if (!x->streams[i] || x->reply.choices[i].counted)
            continue;
        hearth_stream_on_wake(x->streams[i], NULL, NULL);
        hearth_stream_cancel(x->streams[i]);
        struct record record = describe(x, i, &asked);
        record.stream = x->streams[i];
        record.stream_bytes = x->reserved_bytes / (size_t)x->n_streams;
        record.status = exchange_status(x);
        recorder_put(recorder_of(x), &record);
        x->streams[i] = NULL;
        buf_free(&asked);
    }
}

void tape_free(struct exchange *x)
{
    for (int i = 0; x->tapes && i < x->n_streams; i++)
        lose(&x->tapes[i]);
    mem_free(x->tapes);
    x->tapes = NULL;
}
