/* admit.c: who may come in, and what is given back when they go. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "server/core.h"

/* A request's own memory beside its body and its copies: ring and buffers of its stream. */
enum { REQUEST_BYTES = 256 << 10, RETRY_LEAST_S = 1, BYTES_OF_A_TOKEN = 16 };

bool memory_take(struct request_memory *m, size_t bytes)
{
    size_t used = atomic_load(&m->used);
    do
        if (bytes > m->most || used > m->most - bytes)
            return false;
    while (!atomic_compare_exchange_weak(&m->used, &used, used + bytes));
    return true;
}

void memory_give(struct request_memory *m, size_t bytes) { atomic_fetch_sub(&m->used, bytes); }

/* The body has the estimate, the header 1 to 60. */
static void estimate_retry(const struct server *s, struct problem *p)
{
    double each = s->drain_s > 0 ? s->drain_s : 1;
    p->retry_after_s = fmax(RETRY_LEAST_S, each * (s->n_active - server_slots(s) + 1));
}

void retry_estimate(const struct server *s, struct problem *p)
{
    if (p->code == PROBLEM_queue_full || p->code == PROBLEM_out_of_memory)
        estimate_retry(s, p);
}

/* Before a byte of the body is read: its prompt has at least a token in BYTES_OF_A_TOKEN, or the engine refuses it when
 * it has counted. Where nobody waits it may be as long as the window. */
static bool check_tokens(struct server *s, const struct body_frame *frame, struct problem *p)
{
    hearth_engine_queue q;
    if (s->n_active < server_slots(s))
        return true;
    hearth_engine_look(s->options.engine, &q);
    uint64_t least = (frame->length + q.raw_bytes + atomic_load(&s->unread_bytes)) / BYTES_OF_A_TOKEN;
    if (q.n_waiting_tokens + least <= s->views->n_queue_tokens || q.n_waiting + q.n_raw == 0)
        return true;
    refuse(p, PROBLEM_queue_full, NULL, "the prompts that wait have at least %llu tokens with this one, and %llu may "
           "wait; try again later", (unsigned long long)(q.n_waiting_tokens + least),
           (unsigned long long)s->views->n_queue_tokens);
    estimate_retry(s, p);
    return false;
}

static bool check_limits(struct server *s, const struct route *route, struct key *key, struct problem *p)
{
    if (atomic_load(&s->draining) && s->options.n_sockets == 0) { /* else it came before that, and nobody else has it */
        refuse(p, PROBLEM_shutting_down, NULL, "the server is about to end; send the request elsewhere");
        p->retry_after_s = RETRY_LEAST_S;
        return false;
    }
    if (route->endpoint->dialect && vigil_stalled(s)) {
        refuse(p, PROBLEM_engine_stalled, NULL, "the engine has not got on for %.1f s; send the request elsewhere",
               atomic_load(&s->vigil.still_ms) / 1000);
        p->retry_after_s = RETRY_LEAST_S;
        return false;
    }
    if (key && key->n_at_once && key->n_now >= key->n_at_once) {
        refuse(p, PROBLEM_key_limit, NULL, "%d requests of this key are running or waiting, as many as it may have at "
               "once; try again when one has ended", key->n_now);
        estimate_retry(s, p);
        return false;
    }
    double wait_s = key && route->endpoint->dialect ? key_wait_s(key, clock_ns()) : 0;
    if (wait_s > 0) {
        refuse(p, PROBLEM_rate_limit_exceeded, NULL, "this key has used the %lld tokens that it has in a minute; try "
               "again in %.1f s", (long long)key->n_per_minute, wait_s);
        p->retry_after_s = wait_s;
        return false;
    }
    if (route->endpoint->dialect && s->n_active >= server_slots(s) + s->options.n_queue) {
        refuse(p, PROBLEM_queue_full, NULL, "%d requests are running and %d wait, the most that this server lets wait; "
               "try again later", server_slots(s), s->options.n_queue);
        estimate_retry(s, p);
        return false;
    }
    return true;
}

bool admit(struct server *s, struct exchange **out, const struct route *route, struct key *key,
           const struct body_frame *frame, struct problem *p)
{
    struct exchange *x = s->free;
    size_t bytes = REQUEST_BYTES + BODY_COPIES * (size_t)frame->length;
    if (!check_limits(s, route, key, p) || (route->endpoint->dialect && !check_tokens(s, frame, p)))
        return false;
    if (!x || !memory_take(&s->memory, bytes)) {
        refuse(p, PROBLEM_out_of_memory, NULL, "the memory for requests (%zu MiB) is in use; try again later",
               s->memory.most >> 20);
        estimate_retry(s, p);
        return false;
    }
    s->free = x->next;
    x->next = NULL;
    x->route = route;
    x->key = key;
    x->reserved_bytes = bytes;
    x->chunked = frame->chunked;
    x->body_room = (size_t)frame->length;
    x->start_ns = clock_ns();
    x->generates = route->endpoint->dialect != NULL;
    atomic_store(&x->deadline_ns, s->options.request_ms ? x->start_ns + (int64_t)s->options.request_ms * 1000000 : 0);
    if (key)
        key->n_now++;
    s->n_active += x->generates;
    x->uncounted_bytes = x->generates ? (size_t)frame->length : 0;
    atomic_fetch_add(&s->unread_bytes, x->uncounted_bytes);
    atomic_store(&x->phase, X_READING);
    usage_begin(x);
    *out = x;
    return true;
}

/* How long it took until one more was done, while there was something to do. */
static void note_done(struct server *s, const struct exchange *x)
{
    int64_t now = clock_ns(), since = s->last_done_ns > x->start_ns ? s->last_done_ns : x->start_ns;
    double interval = (double)(now - since) / 1e9;
    s->drain_s = s->drain_s > 0 ? 0.8 * s->drain_s + 0.2 * interval : interval;
    s->last_done_ns = now;
}

static void free_content(struct exchange *x)
{
    tape_free(x);
    for (int i = 0; i < x->n_streams; i++) {
        if (x->streams[i])
            hearth_stream_on_wake(x->streams[i], NULL, NULL);
        hearth_stream_close(x->streams[i]);
    }
    mem_free(x->streams);
    x->streams = NULL;
    x->n_streams = x->n_submitted = 0;
    reply_free(&x->reply);
    ask_free(&x->ask);
    buf_free(&x->out);
    mem_free(x->body);
    x->body = NULL;
}

void exchange_submitted(struct exchange *x)
{
    atomic_fetch_sub(&x->server->unread_bytes, x->uncounted_bytes);
    x->uncounted_bytes = 0;
}

void exchange_release(struct exchange *x)
{
    struct server *s = x->server;
    exchange_submitted(x);
    if (x->generates) {
        s->n_active--;
        if (x->ended && x->problem.code == PROBLEM_none) {
            note_done(s, x);
            atomic_fetch_add(&s->n_completed, 1);
        } else if (atomic_load(&x->gone)) {
            atomic_fetch_add(&s->n_cancelled, 1);
        } else {
            atomic_fetch_add(&s->n_failed, 1);
        }
    }
    usage_end(x);
    journal_exchange(x);
    tape_leave(x);
    served_leave(x);
    free_content(x);
    if (x->key)
        key_leave(x->key);
    memory_give(&s->memory, x->reserved_bytes);
    atomic_store(&x->phase, X_FREE);
    atomic_store(&x->gone, false);
    atomic_store(&x->stopping, false);
    atomic_store(&x->cancelled, false);
    atomic_store(&x->ping_due, false);
    atomic_store(&x->ping_ns, 0);
    atomic_store(&x->late, false);
    x->cut = false;
    x->generates = x->begun = x->ended = x->answered = false;
    x->connection = NULL;
    x->route = NULL;
    x->key = NULL;
    x->reserved_bytes = x->body_bytes = x->body_room = x->n_sent = 0;
    x->problem = (struct problem){ 0 };
    x->tally = (struct tally){ 0 };
    x->submit_ns = 0;
    x->next = s->free;
    s->free = x;
}

void load_read(const struct server *cs, struct load_figures *out)
{
    struct server *s = (struct server *)(uintptr_t)cs;
    hearth_engine_queue q = { 0 };
    bool leaving = atomic_load(&s->leaving), stalled = vigil_stalled(s);
    if (!stalled) /* it may hold its lock */
        hearth_engine_look(s->options.engine, &q);
    *out = (struct load_figures){
        .ready = !leaving && !stalled,
        .draining = leaving,
        .stalled = stalled,
        .still_ms = atomic_load(&s->vigil.still_ms),
        .patience_ms = atomic_load(&s->vigil.patience_ms),
        .uptime_s = clock_ms_since(s->start_ns) / 1000,
        .waiting_tokens = q.n_waiting_tokens,
        .n_connections = atomic_load(&s->n_connections),
        .n_requests = atomic_load(&s->n_requests),
        .n_completed = atomic_load(&s->n_completed),
        .n_failed = atomic_load(&s->n_failed),
        .n_cancelled = atomic_load(&s->n_cancelled),
        .n_refused = atomic_load(&s->n_refused),
        .n_turned_away = atomic_load(&s->n_turned_away),
        .memory_used_bytes = atomic_load(&s->memory.used),
    };
    recorder_look(s->options.recorder, &out->recorder);
    out->n_lost_lines = log_n_lost(s->options.log);
    out->has_disk_cache = hearth_engine_disk_cache(s->options.engine, &out->disk_cache);
    served_load(s, s->n_active, out);
}

void server_leave(struct server *s) { atomic_store(&s->leaving, true); }

int server_n_active(struct server *s)
{
    int n = 0;
    for (int i = 0; i < s->n_exchanges; i++)
        n += atomic_load(&s->exchanges[i].phase) != X_FREE;
    return n > 0 || s->options.n_sockets == 0 ? n : watch_expected(s);
}
