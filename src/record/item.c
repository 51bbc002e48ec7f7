#include "record/item.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "record/receipt_json.h"
#include "record/recording.h"

static int put_piece(const char *bytes, size_t n, void *out)
{
    struct buf *b = out;
    buf_put(b, bytes, n);
    return b->failed ? -1 : 0;
}

/* Takes the JSON. */
static void put_json(struct buf *out, json_t *j)
{
    if (!j || json_dump_callback(j, put_piece, out, RECEIPT_JSON_FLAGS) != 0)
        out->failed = true;
    json_decref(j);
}

/* Of what the caller says beside it is JSON already. */
static void put_parameters(struct buf *out, const struct record *r)
{
    put_json(out, recording_of_request(r->request));
    if (!r->asked || out->failed || out->len == 0)
        return;
    out->len--; /* the closing brace */
    buf_puts(out, ",\"asked\":");
    buf_puts(out, r->asked);
    buf_puts(out, "}");
}

static void take_body(struct item *i, const struct record *r, size_t most_bytes)
{
    size_t n = (r->n_prompt + r->n_output) * sizeof(int32_t) + r->n_mixes * sizeof(uint64_t);
    if (!r->request || n > most_bytes)
        return;
    buf_put(&i->prompt, r->prompt, r->n_prompt * sizeof *r->prompt);
    buf_put(&i->output, r->output, r->n_output * sizeof *r->output);
    buf_put(&i->mixes, r->mixes, r->n_mixes * sizeof *r->mixes);
    put_parameters(&i->parameters, r);
    i->has_mixes = r->request->want_logits_mix;
    i->bytes += n + i->parameters.len;
    i->has_body = !i->prompt.failed && !i->output.failed && !i->mixes.failed && !i->parameters.failed;
}

static char *put_text(char **at, const char *text)
{
    char *copy = *at;
    if (!text)
        return NULL;
    size_t n = strlen(text) + 1;
    memcpy(copy, text, n);
    *at += n;
    return copy;
}

static size_t room_of(const char *text) { return text ? strlen(text) + 1 : 0; }

struct item *item_new(const struct record *r, bool full, size_t most_bytes)
{
    size_t bytes = sizeof(struct item) + room_of(r->key) + room_of(r->source) + room_of(r->model);
    struct item *i = mem_alloc(bytes);
    if (!i)
        return NULL;
    char *at = (char *)(i + 1);
    i->bytes = bytes + r->stream_bytes;
    i->put_ns = clock_ns();
    i->time_ms = clock_unix_ns() / 1000000;
    i->key = put_text(&at, r->key);
    i->source = put_text(&at, r->source);
    i->model = put_text(&at, r->model);
    i->choice = r->choice;
    i->status = r->status;
    i->stream = r->stream;
    if (r->receipt)
        i->receipt = *r->receipt;
    if (full)
        take_body(i, r, most_bytes);
    return i;
}

void item_free(struct item *i)
{
    if (!i)
        return;
    hearth_stream_close(i->stream);
    buf_free(&i->prompt);
    buf_free(&i->output);
    buf_free(&i->mixes);
    buf_free(&i->parameters);
    mem_free(i);
}

/* Its prompt may have been no tokens yet when it was given up. */
static void take_prompt(struct item *i)
{
    const int32_t *ids;
    size_t n;
    hearth_stream_prompt_ids(i->stream, &ids, &n);
    if (i->prompt.len == 0 && n > 0)
        buf_put(&i->prompt, ids, n * sizeof *ids);
    i->has_body = !i->prompt.failed && !i->output.failed && !i->mixes.failed;
}

bool item_ready(struct item *i)
{
    hearth_event e;
    while (i->stream && hearth_stream_poll(i->stream, &e)) {
        if (e.type == HEARTH_EVENT_TOKEN && i->has_body)
            buf_put(&i->output, &e.id, sizeof e.id);
        if (e.type == HEARTH_EVENT_TOKEN && i->has_body && i->has_mixes)
            buf_put(&i->mixes, &e.logits_mix, sizeof e.logits_mix);
        if (e.type != HEARTH_EVENT_END)
            continue;
        if (i->has_body)
            take_prompt(i);
        hearth_stream_receipt(i->stream, &i->receipt);
        hearth_stream_close(i->stream);
        i->stream = NULL;
    }
    return !i->stream;
}

bool item_row(const struct item *i, bool full, struct buf *json, struct database_row *row)
{
    const hearth_receipt *r = &i->receipt;
    json_t *receipt = receipt_to_json(r);
    buf_free(json); /* what failed before, too */
    if (receipt && !full && !receipt_without_texts(receipt)) {
        json_decref(receipt);
        return false;
    }
    put_json(json, receipt);
    *row = (struct database_row){
        .time_ms = i->time_ms,
        .request_id = r->request_id,
        .key = i->key,
        .source = i->source,
        .model = i->model,
        .identity = r->model_identity,
        .template_sha256 = r->template_sha256[0] ? r->template_sha256 : NULL,
        .choice = i->choice,
        .revision = r->arithmetic_revision,
        .status = i->status,
        .finish = finish_reason_name(r->reason),
        .detail = r->finish_detail,
        .n_prompt_tokens = r->n_prompt_tokens,
        .n_cached_tokens = r->n_cached_tokens,
        .n_output_tokens = r->n_output_tokens,
        .queue_ms = r->queue_ms,
        .first_token_ms = r->first_token_ms,
        .total_ms = r->total_ms,
        .seed = r->seed,
        .receipt = buf_str(json),
        .has_body = i->has_body,
        .prompt = (const int32_t *)(const void *)i->prompt.ptr,
        .output = (const int32_t *)(const void *)i->output.ptr,
        .mixes = (const uint64_t *)(const void *)i->mixes.ptr,
        .n_prompt = i->prompt.len / sizeof(int32_t),
        .n_output = i->output.len / sizeof(int32_t),
        .n_mixes = i->mixes.len / sizeof(uint64_t),
        .parameters = buf_str(&i->parameters),
    };
    return !json->failed;
}
