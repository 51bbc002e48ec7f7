/* prepare.c: text to tokens, off the engine thread, after the count and byte limits have
 * admitted a request. One low-priority helper thread does it for everybody. */
#include <stdio.h>
#include <string.h>

#include "engine/engine.h"

/* The conversation in the template's words, then in tokens, which replace those there are. */
static bool render_input(struct hearth_stream *s, const struct chat_input *in, hearth_error *err)
{
    int64_t start = clock_ns();
    struct chat_prompt prompt;
    size_t n_kept = 0;
    s->prompt.n = 0;
    s->receipt.bos_added = false;
    bool ok = chat_render(s->chat, in, &prompt, err);
    s->receipt.template_ms += clock_ms_since(start);
    ok = ok && chat_encode(s->chat, &prompt, &s->prompt, &s->receipt.bos_added, &n_kept, err);
    s->starts_thinking = s->receipt.starts_thinking = prompt.starts_thinking;
    s->receipt.n_specials_kept = (int)min_size(n_kept, INT32_MAX);
    chat_prompt_free(&prompt);
    return ok;
}

static bool render_without(struct hearth_stream *s, size_t n_turns, hearth_error *err)
{
    struct chat_input in;
    size_t n_messages;
    if (!chat_input_without(&s->chat_input, n_turns, &in, &n_messages))
        return fail_memory(err, "a conversation");
    bool ok = render_input(s, &in, err);
    chat_input_free(&in);
    s->receipt.n_dropped_messages = (int)min_size(n_messages, INT32_MAX);
    return ok;
}

/* Tokens that the prompt may have where some of a conversation is left out for it. */
static size_t room_for_prompt(const struct hearth_stream *s)
{
    int n_ctx = s->model->plan.n_ctx_tokens, most = max_int(n_ctx / 4, 1), wanted = s->request.max_tokens;
    return (size_t)(n_ctx - (wanted > 0 ? min_int(wanted, most) : most));
}

/* Fewest turns without which it fits, by bisection: a prompt without more turns is shorter. */
static bool truncate(struct hearth_stream *s, hearth_error *err)
{
    size_t room = room_for_prompt(s), least = 1, most = chat_input_turns(&s->chat_input), now = 0;
    if (most == 0)
        return true;
    s->receipt.n_full_prompt_tokens = (int)min_size(s->prompt.n, INT32_MAX);
    while (least < most) {
        now = least + (most - least) / 2;
        if (!render_without(s, now, err))
            return false;
        if (s->prompt.n <= room)
            most = now;
        else
            least = now + 1;
    }
    if (now != most && !render_without(s, most, err))
        return false;
    receipt_note(&s->receipt, "the oldest %d messages were left out: with them the prompt had %d tokens\n",
                 s->receipt.n_dropped_messages, s->receipt.n_full_prompt_tokens);
    return true;
}

static bool render(struct hearth_stream *s, hearth_error *err)
{
    bool ok = render_input(s, &s->chat_input, err);
    if (ok && s->request.truncate_chat && s->prompt.n >= (size_t)s->model->plan.n_ctx_tokens)
        ok = truncate(s, err);
    chat_input_free(&s->chat_input);
    return ok;
}

/* Texts between tokens that were given as such are tokenized each as a whole. */
static bool encode_spans(struct hearth_stream *s, hearth_error *err)
{
    const hearth_request *r = &s->request;
    for (size_t from = 0; from < r->n_spans;) {
        size_t end = from;
        while (end < r->n_spans && !r->spans[end].is_token)
            end++;
        if (end > from
            && !tokenizer_encode_spans(s->model->tokenizer, r->spans + from, end - from, NULL, &s->prompt, NULL, err))
            return false;
        if (end < r->n_spans)
            token_list_push(&s->prompt, r->spans[end].token);
        from = end + 1;
    }
    return true;
}

static bool encode(struct hearth_stream *s, hearth_error *err)
{
    const hearth_request *r = &s->request;
    if (s->chat && !s->request.ids_are_chat)
        return render(s, err);
    const struct vocab *v = tokenizer_vocab(s->model->tokenizer);
    if (r->n_spans && v->add_bos && v->bos >= 0 && !r->no_bos && !s->pair_by_template) {
        token_list_push(&s->prompt, v->bos);
        s->receipt.bos_added = true;
    }
    if (!encode_spans(s, err))
        return false;
    bool ended = s->prompt.n && s->prompt.ids[s->prompt.n - 1] == v->eos;
    if (r->embed && r->n_spans && v->add_eos && !s->pair_by_template && !ended)
        token_list_push(&s->prompt, v->eos);
    return s->prompt.failed ? fail_memory(err, "the prompt's tokens") : true;
}

static bool contains(struct str s, const char *text)
{
    size_t n = strlen(text);
    for (size_t at = 0; at + n <= s.len; at++)
        if (memcmp(s.ptr + at, text, n) == 0)
            return true;
    return false;
}

/* A bit for each token whose text has one of the breakers in it, and a note for each breaker that is in none. */
static void find_breakers(struct hearth_stream *s)
{
    const struct tokenizer *t = s->model->tokenizer;
    hearth_receipt *r = &s->receipt;
    int n_vocab = min_int(tokenizer_vocab(t)->n_tokens, s->model->file->model.hp.n_vocab);
    bool used[HEARTH_MAX_BREAKERS] = { false };
    char scratch[STREAM_TEXT_MAX_BYTES / 2 + 16];
    for (int id = 0; s->breakers && id < n_vocab; id++) {
        struct str piece = tokenizer_piece(t, id, true, scratch, sizeof scratch);
        for (int i = 0; i < r->n_dry_sequence_breakers; i++) {
            const char *text = r->dry_sequence_breakers[i];
            if (contains(piece, text)) {
                s->breakers[id / 64] |= (uint64_t)1 << (id % 64);
                used[i] = true;
            }
        }
    }
    for (int i = 0; s->breakers && i < r->n_dry_sequence_breakers; i++)
        if (!used[i])
            receipt_note(r, "no token of this vocabulary has dry_sequence_breaker %d in it: it breaks nothing\n", i);
}

static bool check_length(const struct hearth_stream *s, hearth_error *err)
{
    int n_ctx = s->model->plan.n_ctx_tokens;
    size_t n = s->prompt.n;
    const struct hparams *hp = &s->model->file->model.hp;
    if (n == 0)
        return fail(err, HEARTH_ERR_USAGE, "the prompt is empty and the model adds no start token; give some text");
    for (size_t i = 0; i < n; i++)
        if (s->prompt.ids[i] < 0 || s->prompt.ids[i] >= hp->n_vocab)
            return fail(err, HEARTH_ERR_FORMAT,
                        "prompt token %d is beyond the model's %d; vocabulary and weights disagree", s->prompt.ids[i],
                        hp->n_vocab);
    bool answers = !s->request.score && !s->request.embed;
    if (!answers ? n > (size_t)n_ctx : n >= (size_t)n_ctx) {
        fail(err, HEARTH_ERR_USAGE,
             "the prompt has %zu tokens, the context holds %d%s; shorten it or raise --ctx (the model was trained for "
             "%d)",
             n, n_ctx, answers ? " and needs room for an answer" : "", hp->n_ctx_train);
        err->n_prompt_tokens = n;
        err->n_ctx_tokens = n_ctx;
        return false;
    }
    if (s->request.score && !s->request.score_prompt && s->request.score_from >= n)
        return fail(err, HEARTH_ERR_USAGE, "scoring is to start at token %zu of %zu; start at an earlier one",
                    s->request.score_from, n);
    return true;
}

/* Under the lock. Who comes when nobody waits is let in, however long the prompt: it fits the context. */
static bool may_wait(struct hearth_engine *e, const struct hearth_stream *s, hearth_error *err)
{
    uint64_t n = e->n_waiting_tokens + s->prompt.n;
    if (!e->n_queue_tokens || n <= e->n_queue_tokens || e->n_waiting == 0 || s->request.beyond_queue_tokens)
        return true;
    e->n_refused++;
    return fail(err, HEARTH_ERR_BUSY, "%d requests with %llu prompt tokens wait, and with the %zu of this one there "
                "would be more than %llu; try again later", e->n_waiting, (unsigned long long)e->n_waiting_tokens,
                s->prompt.n, (unsigned long long)e->n_queue_tokens);
}

/* A short one is in what each request has anyway. */
static bool encode_in_books(struct hearth_engine *e, struct hearth_stream *s, hearth_error *err)
{
    enum { FREE_BYTES = 2 << 10 };
    uint64_t bytes = s->text_bytes > FREE_BYTES ? s->text_bytes * HEARTH_PREPARE_BYTES : 0;
    lock_take(&e->lock);
    e->booking = e->take && bytes;
    bool booked = e->booking;
    lock_release(&e->lock);
    if (!booked)
        return encode(s, err);
    bool taken = e->take(e->books, bytes);
    bool ok = taken ? encode(s, err)
                    : fail(err, HEARTH_ERR_MEMORY, "reading a prompt of %llu bytes takes up to %llu MiB, and less is "
                           "free for requests; try again later", (unsigned long long)s->text_bytes,
                           (unsigned long long)(bytes >> 20));
    if (taken)
        e->give(e->books, bytes);
    lock_take(&e->lock);
    e->booking = false;
    lock_wake_all(&e->lock);
    lock_release(&e->lock);
    return ok;
}

static void prepare(struct hearth_engine *e, struct hearth_stream *s)
{
    int64_t start = clock_ns();
    bool ok = encode_in_books(e, s, &s->error) && check_length(s, &s->error);
    if (ok)
        find_breakers(s);
    s->prepared_ns = clock_ns();
    s->receipt.tokenize_ms = (double)(s->prepared_ns - start) / 1e6 - s->receipt.template_ms;
    lock_take(&e->lock);
    ok = ok && may_wait(e, s, &s->error);
    if (!ok)
        s->receipt.total_ms = (double)(s->prepared_ns - s->submit_ns) / 1e6;
    if (ok) {
        engine_waits(e, s);
        queue_push(&e->inbox, s);
        e->pokes++;
        lock_wake_all(&e->lock);
    } else {
        e->n_admitted--;
    }
    lock_release(&e->lock);
    if (!ok) {
        s->receipt.reason = HEARTH_END_ERROR;
        hearth_event end = { .type = HEARTH_EVENT_END, .text = "", .reason = HEARTH_END_ERROR };
        stream_end(s, &end);
        if (stream_wake(s))
            engine_ring(e);
        stream_unref(s);
    }
}

void prepare_main(void *arg)
{
    struct hearth_engine *e = arg;
    thread_low_priority();
    for (;;) {
        lock_take(&e->lock);
        struct hearth_stream *s;
        while (!(s = queue_pop(&e->raw, &e->raw_turns, NULL)) && !e->stop)
            lock_wait(&e->lock);
        e->raw_bytes -= s ? s->text_bytes : 0;
        lock_release(&e->lock);
        if (!s)
            return;
        prepare(e, s);
    }
}
