/* work.c: one thread that reads requests: what takes longer than the http thread may be away. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "server/api/json_in.h"
#include "server/core.h"

/* ---- what endpoints want that generate nothing ---- */

static bool do_tokenize(hearth_file *file, struct ask *a, struct problem *p)
{
    hearth_error err;
    size_t cap = a->text.n_bytes + 8; /* no vocabulary makes more tokens than bytes, and BOS */
    a->ids = arena_array(&a->arena, int32_t, cap);
    if (!a->ids)
        return ask_no_memory(p);
    int64_t n = hearth_file_tokenize(file, a->text.text, a->text.n_bytes, a->parse_special, a->add_special, a->ids, cap,
                                     &err);
    if (n < 0 || (size_t)n > cap) {
        problem_of_error(p, &err);
        return false;
    }
    a->n_ids = (size_t)n;
    return true;
}

static bool do_detokenize(hearth_file *file, struct ask *a, struct problem *p)
{
    for (size_t i = 0; i < a->n_ids; i++) {
        size_t n = 0;
        const char *text = hearth_file_token_text(file, a->ids[i], &n);
        buf_put(&a->out_text, text ? text : "", n);
    }
    return !a->out_text.failed || ask_no_memory(p);
}

static bool do_render(hearth_file *file, struct ask *a, struct problem *p)
{
    hearth_error err;
    hearth_rendered *rendered = hearth_file_render(file, &a->chat.chat, &err);
    if (!rendered) {
        problem_of_error(p, &err);
        return false;
    }
    buf_put(&a->out_text, rendered->text, rendered->n_bytes);
    hearth_rendered_free(rendered);
    return !a->out_text.failed || ask_no_memory(p);
}

/* ---- to the engine ---- */

static bool submit_one(struct exchange *x, int i, struct problem *p)
{
    const struct ask *a = &x->ask;
    hearth_request request = a->request;
    hearth_error err;
    request.request_id = x->id;
    if (a->n_prompts > 0) {
        const struct ask_prompt *prompt = &a->prompts[i / a->n];
        request.spans = prompt->spans;
        request.n_spans = prompt->n_spans;
        request.prompt_ids = prompt->ids;
        request.n_prompt_ids = prompt->n_ids;
    } else if (!x->route->endpoint->explains) { /* whose prompt is the recorded one */
        request.chat = &a->chat.chat;
    }
    if (request.has_seed)
        request.seed += (uint64_t)(i % a->n); /* answers to one prompt differ */
    if (x->key) /* keys take turns, and what one has asked no other finds in the cache */
        request.owner = request.cache_salt = x->key->salt;
    request.beyond_queue_tokens = i > 0;
    if (x->tapes)
        request.want_logits_mix = x->ask.request.want_logits_mix = true;
    x->streams[i] = hearth_submit(x->server->served[x->model].model, &request, &err);
    if (!x->streams[i]) {
        problem_of_error(p, &err);
        return false;
    }
    hearth_stream_on_wake(x->streams[i], exchange_woken, x);
    return true;
}

/* What is never free is no reason to come again. */
static bool check_size(const struct exchange *x, struct problem *p)
{
    size_t most = x->server->memory.most, text = x->ask.text_bytes;
    if (x->reserved_bytes < most && text <= (most - x->reserved_bytes) / HEARTH_PREPARE_BYTES)
        return true;
    return refuse(p, PROBLEM_prompt_too_large, NULL, "a prompt of %zu bytes takes up to %zu MiB to read, and the "
                  "memory for requests is %zu MiB (--request-memory); send a shorter one", text,
                  text * HEARTH_PREPARE_BYTES >> 20, most >> 20);
}

/* Of inputs that become vectors so many are with the engine beside those that it computes and as many more. */
enum { INPUTS_AT_ONCE = 8 };

static bool submit(struct exchange *x, struct problem *p)
{
    struct ask *a = &x->ask;
    if (!check_size(x, p))
        return false;
    if (!reply_init(&x->reply, a, served_view(x), x->route->endpoint->dialect, request_id_bare(x->id),
                    clock_unix_s()))
        return ask_no_memory(p);
    x->streams = mem_alloc((size_t)x->reply.n_choices * sizeof(hearth_stream *));
    if (!x->streams)
        return ask_no_memory(p);
    x->n_streams = x->reply.n_choices;
    tape_begin(x);
    x->submit_ns = clock_ns();
    int at_once = a->request.embed ? 2 * x->server->options.n_parallel + INPUTS_AT_ONCE : x->n_streams;
    int n = min_int(x->n_streams, at_once);
    while (x->n_submitted < n)
        if (!submit_one(x, x->n_submitted++, p))
            return false;
    exchange_submitted(x);
    return true;
}

bool exchange_submit_next(struct exchange *x)
{
    return x->n_submitted == x->n_streams || submit_one(x, x->n_submitted++, &x->problem);
}

/* ---- one request ---- */

static bool read_ask(struct exchange *x, const json_t *body, struct problem *p)
{
    const struct endpoint *e = x->route->endpoint;
    bool strict = x->server->options.strict;
    struct fields fields = { 0 };
    if (!ask_init(&x->ask, e->on, p) || (e->on && !fields_read(&fields, body, e->on, strict, &x->ask.notes, p))
        || !served_choose(x, body, p) || !e->read(&x->ask, &fields, served_view(x), p))
        return false;
    if (x->id_refused)
        notes_adjusted(&x->ask.notes, "X-Request-Id is not taken: an id has 1 to %d letters, digits and -_.:=+@",
                       HEARTH_REQUEST_ID_BYTES);
    return !x->ask.notes.failed || ask_no_memory(p);
}

static bool read_body(struct exchange *x, struct problem *p)
{
    struct server *s = x->server;
    size_t cost = 0;
    if (!json_scan(x->body ? x->body : "", x->body_bytes, &cost, p))
        return false;
    if (cost > s->memory.most)
        return refuse(p, PROBLEM_json_too_large, NULL, "reading this body takes %zu MiB, more than all memory for "
                      "requests (%zu MiB); send less at once", cost >> 20, s->memory.most >> 20);
    if (!memory_take(&s->memory, cost))
        return refuse(p, PROBLEM_out_of_memory, NULL, "reading this body takes %zu MiB, and of the memory for requests "
                      "(%zu MiB) less is free; try again later", cost >> 20, s->memory.most >> 20);
    struct json_body body;
    bool ok = json_parse(&body, x->body ? x->body : "", x->body_bytes, cost, p) && read_ask(x, body.json, p);
    json_body_free(&body);
    memory_give(&s->memory, cost);
    mem_free(x->body);
    x->body = NULL;
    return ok;
}

static bool perform(struct exchange *x, struct problem *p)
{
    hearth_file *file = x->server->served[x->model].file;
    switch (x->ask.op) {
    case OP_GENERATE: return submit(x, p);
    case OP_TOKENIZE: return do_tokenize(file, &x->ask, p);
    case OP_DETOKENIZE: return do_detokenize(file, &x->ask, p);
    case OP_RENDER: return do_render(file, &x->ask, p);
    }
    return false;
}

/* The nearer of the server's and the request's own. False: it is over before anything began. */
static bool set_deadline(struct exchange *x, struct problem *p)
{
    int64_t own = x->ask.timeout_ms ? x->start_ns + (int64_t)x->ask.timeout_ms * 1000000 : 0;
    int64_t deadline = atomic_load(&x->deadline_ns);
    if (own && (!deadline || own < deadline))
        atomic_store(&x->deadline_ns, deadline = own);
    return !deadline || clock_ns() < deadline || refuse_late(x, p);
}

static void answer(struct exchange *x)
{
    struct server *s = x->server;
    struct problem *p = &x->problem;
    bool explains = x->route->endpoint->explains;
    if (!(explains ? again_read(x, p) : read_body(x, p)) || !set_deadline(x, p) || !perform(x, p)) {
        exchange_worked(x, X_READY);
    } else if (x->ask.op == OP_GENERATE) {
        bool soon = (x->ask.stream && x->ask.ping_ms < WATCH_MS) || atomic_load(&x->deadline_ns);
        atomic_store(&x->ping_ns, x->ask.stream ? (long long)x->ask.ping_ms * 1000000 : 0);
        atomic_store(&x->last_write_ns, clock_ns());
        exchange_worked(x, X_RUNNING);
        if (soon)
            watch_look(s);
    } else {
        if (!json_put(&x->out, x->route->endpoint->write(&x->ask, served_view(x))))
            ask_no_memory(p);
        exchange_worked(x, X_READY);
    }
}

/* ---- the thread ---- */

bool work_push(struct server *s, struct exchange *x)
{
    x->next = NULL;
    lock_take(&s->work_lock);
    bool works = !atomic_load(&s->stop);
    if (works) {
        if (s->work_last)
            s->work_last->next = x;
        else
            s->work_first = x;
        s->work_last = x;
    }
    lock_wake_all(&s->work_lock);
    lock_release(&s->work_lock);
    return works;
}

static struct exchange *work_pop(struct server *s)
{
    lock_take(&s->work_lock);
    while (!s->work_first && !atomic_load(&s->stop))
        lock_wait(&s->work_lock);
    struct exchange *x = s->work_first;
    if (x) {
        s->work_first = x->next;
        if (!s->work_first)
            s->work_last = NULL;
    }
    lock_release(&s->work_lock);
    return x;
}

static void work_main(void *arg)
{
    struct server *s = arg;
    for (struct exchange *x; (x = work_pop(s));)
        answer(x);
}

bool work_start(struct server *s, hearth_error *err)
{
    return thread_start(&s->work, "hearth-requests", work_main, s, err);
}

void work_stop(struct server *s)
{
    lock_take(&s->work_lock);
    atomic_store(&s->stop, true);
    lock_wake_all(&s->work_lock);
    lock_release(&s->work_lock);
    thread_join(&s->work);
}
