/* server.c: libmicrohttpd's side: connections, requests and their answers. Nothing else includes it. */
#include "server/server.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "hearth/wakes.h"
#include "server/api/json_in.h"
#include "server/api/named.h"
#include "server/core.h"
#include "server/gate.h"
#include "server/port.h"

enum {
    HEAD_BYTES = 32 << 10,       /* a connection's memory: request line, headers, and the head of the answer */
    IDLE_S = 75, STALLED_S = 30, /* without a byte: between requests, and while an answer is sent */
    SEND_BUFFER_BYTES = 128 << 10,
    USER_TIMEOUT_MS = 20000,     /* a host that vanished */
    BLOCK_BYTES = 16 << 10,      /* of a stream at once */
    CHUNK_RESERVE_BYTES = 64 << 10,
    CONNECTION_BYTES = 34 << 10, /* HEAD_BYTES, once it was answered; 33 KB measured with 6,000 of them */
    HANDSHAKE_BYTES = 128 << 10, CERTIFICATE_BYTES = 2 << 20, /* more than they take */
    TLS_BYTES = 11 << 10,        /* more, under TLS; 10.4 KB measured with 800 */
};

/* ---- sleeping and waking ----
 *
 * A connection sleeps while its exchange waits for the engine. Wakes are counted: whoever looks for something to do
 * remembers the count from before, and sleeps only if there was none since. Counting, suspending and noting that it is
 * woken are under one lock, so no wake is lost and none reaches a connection that is awake: it may end at any time, and
 * libmicrohttpd would remember the wake for its next sleep. The work thread's time is a sleep that only its end ends.
 * Who is woken the http thread resumes, before it runs libmicrohttpd again. */

void exchange_woken(void *arg)
{
    struct exchange *x = arg;
    lock_take(&x->wake_lock);
    x->n_wakes++;
    if (x->asleep)
        rouse_add(x);
    x->asleep = false;
    lock_release(&x->wake_lock);
}

void exchange_wake(struct exchange *x)
{
    exchange_woken(x);
    rouse(x->server);
}

void exchange_worked(struct exchange *x, enum phase phase)
{
    struct server *s = x->server;
    lock_take(&x->wake_lock);
    atomic_store(&x->phase, phase);
    rouse_add(x);
    lock_release(&x->wake_lock);
    rouse(s);
}

static unsigned count_wakes(struct exchange *x)
{
    lock_take(&x->wake_lock);
    unsigned n = x->n_wakes;
    lock_release(&x->wake_lock);
    return n;
}

/* False: there was a wake since, look again. */
static bool fall_asleep(struct exchange *x, unsigned n_wakes)
{
    lock_take(&x->wake_lock);
    x->asleep = x->n_wakes == n_wakes;
    bool asleep = x->asleep;
    if (asleep)
        MHD_suspend_connection(x->connection);
    lock_release(&x->wake_lock);
    return asleep;
}

/* ---- answers ---- */

/* OpenAI's: what is left of a minute's tokens, and when all of them are there again. */
static void add_rate_headers(struct MHD_Response *r, struct key *key)
{
    char text[32];
    double full_s = 0;
    if (!key || !key->n_per_minute)
        return;
    long long left = key_tokens_left(key, clock_ns(), &full_s);
    snprintf(text, sizeof text, "%lld", (long long)key->n_per_minute);
    MHD_add_response_header(r, "x-ratelimit-limit-tokens", text);
    snprintf(text, sizeof text, "%lld", left);
    MHD_add_response_header(r, "x-ratelimit-remaining-tokens", text);
    snprintf(text, sizeof text, "%.3fs", full_s);
    MHD_add_response_header(r, "x-ratelimit-reset-tokens", text);
}

static void put_header(void *response, const char *name, const char *value)
{
    MHD_add_response_header(response, name, value);
}

static enum MHD_Result take_header(void *arg, enum MHD_ValueKind kind, const char *key, size_t key_size,
                                   const char *value, size_t value_size);
static struct peer *peer_of(struct MHD_Connection *con);

/* For browsers, where a page asks. */
static void add_page_headers(struct server *s, struct MHD_Connection *con, struct MHD_Response *r)
{
    if (!MHD_lookup_connection_value(con, MHD_HEADER_KIND, "Origin"))
        return;
    struct head head = { .method = s->asking.method, .path = "", .version = "" };
    MHD_get_connection_values_n(con, MHD_HEADER_KIND, take_header, &head);
    gate_page_headers(s, peer_of(con), &head, put_header, r);
}

static void add_headers(struct server *s, struct MHD_Connection *con, struct MHD_Response *r, const char *type,
                        const char *id, bool close)
{
    add_page_headers(s, con, r);
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    add_rate_headers(r, s->answering);
    MHD_add_response_header(r, "X-Request-Id", id);
    if (close || atomic_load(&s->leaving)) /* who comes again comes to another server */
        MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
}

/* Takes what out holds. */
static enum MHD_Result send_body(struct server *s, struct MHD_Connection *con, int status, const char *type,
                                 struct buf *out, const char *id, const struct problem *p, bool close)
{
    struct MHD_Response *r = MHD_create_response_from_buffer_with_free_callback(out->len, out->ptr, mem_free);
    if (!r) {
        buf_free(out);
        return MHD_NO;
    }
    *out = (struct buf){ 0 };
    journal_answer(s, status, id, p);
    add_headers(s, con, r, type, id, close);
    if (p && p->retry_after_s > 0) {
        char seconds[16];
        int whole = p->retry_after_s >= 60 ? 60 : (int)p->retry_after_s + (p->retry_after_s > (int)p->retry_after_s);
        snprintf(seconds, sizeof seconds, "%d", max_int(whole, 1));
        MHD_add_response_header(r, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
    }
    if (p && p->allow[0])
        MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, p->allow);
    if (status == MHD_HTTP_UNAUTHORIZED)
        MHD_add_response_header(r, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer realm=\"hearth\"");
    enum MHD_Result done = MHD_queue_response(con, (unsigned)status, r);
    MHD_destroy_response(r);
    return done;
}

static enum MHD_Result send_problem(struct server *s, struct MHD_Connection *con, const struct problem *p,
                                    const char *id, bool close)
{
    struct buf out = { 0 };
    int status = problem_status(p);
    if (status == MHD_HTTP_TOO_MANY_REQUESTS || status == MHD_HTTP_SERVICE_UNAVAILABLE)
        atomic_fetch_add(&s->n_refused, 1);
    if (!json_put(&out, problem_to_json(p))) {
        buf_free(&out);
        return MHD_NO;
    }
    return send_body(s, con, status, "application/json", &out, id, p, close);
}

/* A request that may not come in; p without a code: a page asks whether it may, and it may. */
static enum MHD_Result send_refusal(struct server *s, struct MHD_Connection *con, const struct problem *p,
                                    const char *id, bool close)
{
    struct buf none = { 0 };
    if (p->code != PROBLEM_none)
        return send_problem(s, con, p, id, close);
    return send_body(s, con, MHD_HTTP_NO_CONTENT, "application/json", &none, id, NULL, close);
}

/* ---- streams ---- */

/* 0: there is nothing now. */
static ssize_t next_bytes(struct exchange *x, char *to, size_t room)
{
    if (atomic_load(&x->gone) || x->out.failed)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    while (x->n_sent == x->out.len && !x->ended) {
        buf_clear(&x->out);
        x->n_sent = 0;
        if (exchange_pump(x))
            continue;
        if (!atomic_exchange(&x->ping_due, false))
            return 0;
        buf_puts(&x->out, ": ping\n\n");
    }
    if (x->n_sent == x->out.len)
        return x->out.failed ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
    size_t n = min_size(room, x->out.len - x->n_sent);
    memcpy(to, x->out.ptr + x->n_sent, n);
    x->n_sent += n;
    return (ssize_t)n;
}

static ssize_t read_stream(void *arg, uint64_t pos, char *to, size_t room)
{
    struct exchange *x = arg;
    (void)pos;
    for (;;) {
        unsigned n_wakes = count_wakes(x);
        ssize_t n = next_bytes(x, to, room);
        if (n != 0 || fall_asleep(x, n_wakes))
            return n;
    }
}

static enum MHD_Result begin_stream(struct exchange *x)
{
    struct MHD_Connection *con = x->connection;
    struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_stream, x, NULL);
    if (!r)
        return MHD_NO;
    add_headers(x->server, con, r, "text/event-stream", x->id, false);
    MHD_add_response_header(r, "X-Accel-Buffering", "no");
    MHD_set_connection_option(con, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)STALLED_S);
    enum MHD_Result done = MHD_queue_response(con, MHD_HTTP_OK, r);
    MHD_destroy_response(r);
    return done;
}

static enum MHD_Result send_whole(struct exchange *x)
{
    struct reply *r = &x->reply;
    if (!(r->dialect->put ? r->dialect->put(r, &x->out) : json_put(&x->out, r->dialect->whole(r))) || r->failed) {
        buf_clear(&x->out);
        x->ended = false;
        ask_no_memory(&x->problem);
        return send_problem(x->server, x->connection, &x->problem, x->id, false);
    }
    return send_body(x->server, x->connection, MHD_HTTP_OK, "application/json", &x->out, x->id, NULL, false);
}

/* Streams are running: is there an answer to send, or the beginning of one? Until a stream's first byte its failure is
 * a status. */
static enum MHD_Result go_on(struct exchange *x, bool *sleeps)
{
    while (!x->ended && !x->begun && exchange_pump(x))
        ;
    if (x->ended && x->problem.code != PROBLEM_none && !x->begun)
        return send_problem(x->server, x->connection, &x->problem, x->id, false);
    if (x->ask.stream && !x->begun && atomic_load(&x->ping_due))
        exchange_begin_stream(x);
    if (x->begun)
        return begin_stream(x);
    if (x->ended)
        return send_whole(x);
    *sleeps = true;
    return MHD_YES;
}

/* ---- a request's body ---- */

/* Room for n more bytes. Chunked bodies are taken out of the memory for requests as they come. */
static bool grow_body(struct exchange *x, size_t n)
{
    struct server *s = x->server;
    size_t need = x->body_bytes + n;
    if (need > s->options.body_max_bytes)
        return refuse(&x->problem, PROBLEM_body_too_large, NULL, "the body has more than %zu bytes, the most that is "
                      "taken (--max-body)", s->options.body_max_bytes);
    if (x->body && need <= x->body_room)
        return true;
    size_t room = x->chunked ? max_size(need, max_size(2 * x->body_room, CHUNK_RESERVE_BYTES)) : x->body_room;
    size_t more = x->chunked ? BODY_COPIES * (room - x->body_room) : 0;
    if (more && !memory_take(&s->memory, more))
        return refuse(&x->problem, PROBLEM_out_of_memory, NULL, "the memory for requests (%zu MiB) is in use; try "
                      "again later", s->memory.most >> 20);
    x->reserved_bytes += more;
    char *body = x->chunked ? mem_resize(x->body, room) : mem_alloc(room);
    if (!body)
        return ask_no_memory(&x->problem);
    x->body = body;
    x->body_room = room;
    return true;
}

static struct peer *peer_of(struct MHD_Connection *con)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(con, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* What comes after a refusal is read and dropped, up to the most that a body may have. */
static enum MHD_Result take_body(struct exchange *x, const char *bytes, size_t n)
{
    struct peer *peer = peer_of(x->connection);
    if (peer) {
        lock_take(&x->server->peer_lock);
        peer->n_bytes += n;
        lock_release(&x->server->peer_lock);
    }
    if (x->problem.code == PROBLEM_none && grow_body(x, n))
        memcpy(x->body + x->body_bytes, bytes, n);
    x->body_bytes += n;
    return x->body_bytes <= 2 * x->server->options.body_max_bytes ? MHD_YES : MHD_NO;
}

/* ---- what a connection asks ---- */

static enum MHD_Result take_header(void *arg, enum MHD_ValueKind kind, const char *key, size_t key_size,
                                   const char *value, size_t value_size)
{
    struct head *h = arg;
    (void)kind;
    if (h->n_headers == GUARD_MAX_HEADERS) {
        h->too_many = true;
        return MHD_NO;
    }
    h->header[h->n_headers].name = (struct str){ key, key_size };
    h->header[h->n_headers++].value = (struct str){ value ? value : "", value ? value_size : 0 };
    return MHD_YES;
}

static bool is_known_method(const char *method)
{
    static const char *const known[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE" };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(method, known[i]) == 0)
            return true;
    return false;
}

static char plain_request; /* the mark of one without a body, the second time it is seen */

/* By any id that clients have seen of it; NULL: whichever. Requests of other keys are not there, unless `all` are.
 * after: the one that was found last, for clients may give several the same; NULL: the first. */
static struct exchange *find_request(struct server *s, const char *id, const struct key *key, bool all,
                                     const struct exchange *after)
{
    for (int i = after ? (int)(after - s->exchanges) + 1 : 0; i < s->n_exchanges; i++) {
        struct exchange *x = &s->exchanges[i];
        if (atomic_load(&x->phase) != X_FREE && (all || x->key == key)
            && (!id || request_id_is(x->id, id)))
            return x;
    }
    return NULL;
}

static void describe_request(const struct exchange *x, struct request_state *out)
{
    bool running = atomic_load(&x->phase) == X_RUNNING; /* else the work thread may have it */
    *out = (struct request_state){ .id = x->id,
                                   .state = !running ? "reading" : x->begun ? "running" : "waiting",
                                   .age_s = clock_ms_since(x->start_ns) / 1000 };
    for (int i = 0; running && i < x->reply.n_choices; i++)
        out->n_tokens += x->reply.choices[i].n_tokens;
    if (out->n_tokens > 0)
        out->state = "running";
    out->n_choices = running ? x->reply.n_choices : 0;
    out->stream = running && x->ask.stream;
}

/* ?model=NAME, where several are served; without it, the first. */
static bool model_of_query(struct MHD_Connection *con, const struct view **v, struct problem *p)
{
    const char *name = NULL;
    size_t n = 0;
    if ((*v)->n_all < 2
        || MHD_lookup_connection_value_n(con, MHD_GET_ARGUMENT_KIND, "model", 5, &name, &n) != MHD_YES)
        return true;
    const struct view *found = named_in_url(*v, (struct str){ name ? name : "", name ? n : 0 });
    if (!found)
        return named_refuse(*v, (struct str){ name ? name : "", name ? n : 0 }, p);
    *v = found;
    return true;
}

/* What an endpoint is about, and what it ends. */
static bool look_at_requests(struct server *s, const struct route *route, const char *tail, const struct key *key,
                             bool all, struct load_figures *now, struct problem *p)
{
    const struct endpoint *e = route->endpoint;
    const char *id = e->of_request ? tail : NULL;
    if (!e->of_request && !e->cancels)
        return true;
    struct exchange *x = find_request(s, id, key, all, NULL);
    if (!x && e->of_request)
        return refuse(p, PROBLEM_request_not_found, NULL, "no request '%.60s' is running or waiting", tail);
    if (x)
        describe_request(x, &now->request);
    for (; x && e->cancels; x = find_request(s, id, key, all, x)) {
        now->n_ended++;
        atomic_store(&x->cancelled, true);
        exchange_wake(x);
    }
    return true;
}

/* A request without a body: answered at once, and its connection goes on. */
static enum MHD_Result answer_plain(struct server *s, struct MHD_Connection *con, struct head *head)
{
    struct buf out = { 0 };
    struct problem p = { 0 };
    struct load_figures now;
    struct key *key = NULL;
    char id[REQUEST_ID_ROOM];
    const char *tail = "";
    request_id_make(head, id);
    const struct route *route = gate_pass(s, peer_of(con), head, &tail, &key, &p);
    if (!route)
        return send_refusal(s, con, &p, id, false);
    s->asking.key = key;
    load_read(s, &now);
    relief_show(s, route->endpoint->memory, &now.memory);
    usage_show(s, key, &now);
    if (!look_at_requests(s, route, tail, key, gate_is_admin(s, peer_of(con), head, key), &now, &p))
        return send_problem(s, con, &p, id, false);
    const struct view *v = s->views;
    if (route->endpoint->of_model && !model_of_query(con, &v, &p))
        return send_problem(s, con, &p, id, false);
    if (route->endpoint->tells && !wake_tell(s, route->endpoint->tells, tail, &v, &p))
        return send_problem(s, con, &p, id, false);
    if (route->endpoint->get(v, &now, tail, &out, &p)) {
        const char *type = route->endpoint->content_type;
        return send_body(s, con, MHD_HTTP_OK, type ? type : "application/json", &out, id, NULL, false);
    }
    buf_free(&out);
    return send_problem(s, con, &p, id, false);
}

/* A GET that has to be computed: it goes the way of a POST, without a body. */
static bool is_explaining(const char *method, const char *url)
{
    struct problem p;
    const char *tail;
    const struct route *route = route_find(method, url, &tail, &p);
    return route && route->endpoint->explains; /* HEAD, too */
}

/* A POST that has nothing to say but its path, and wants to hear no more than how it is. */
static bool is_telling(struct MHD_Connection *con, const char *method, const char *url)
{
    struct problem p;
    const char *tail, *accept = MHD_lookup_connection_value(con, MHD_HEADER_KIND, "Accept");
    const struct route *route = route_find(method, url, &tail, &p);
    bool listens = accept && strstr(accept, "text/event-stream");
    return route && route->endpoint->tells && !(listens && route->endpoint->tells == TELLS_WAKE);
}

/* What stands behind the '?'. */
static enum MHD_Result take_parameter(void *arg, enum MHD_ValueKind kind, const char *key, size_t key_size,
                                      const char *value, size_t value_size)
{
    struct exchange *x = arg;
    const struct explain_parameter *q = NULL;
    int which = 0;
    char *end;
    (void)kind;
    (void)value_size;
    for (int i = 0; i < N_EXPLAIN_PARAMETERS; i++)
        if (str_eq_z((struct str){ key, key_size }, explain_parameters[i].name))
            q = &explain_parameters[which = i];
    if (!q) {
        refuse(&x->problem, PROBLEM_unknown_field, NULL, "there is no parameter '%.40s' here; there are %s, %s and %s",
               key, explain_parameters[EXPLAIN_TOKEN].name, explain_parameters[EXPLAIN_TOP].name,
               explain_parameters[EXPLAIN_CHOICE].name);
        return MHD_NO;
    }
    long n = value ? strtol(value, &end, 10) : -1;
    if (n < 0 || n > q->most || end == value || *end) {
        refuse(&x->problem, PROBLEM_invalid_value, q->name, "%s is '%.20s'; it must be a whole number from 0 to %d",
               q->name, value ? value : "", q->most);
        return MHD_NO;
    }
    x->explain[which] = (int)n;
    return MHD_YES;
}

/* Which answer, and what of it. The work thread looks for it. */
static void take_explained(struct exchange *x, struct MHD_Connection *con, const struct head *head, const char *tail)
{
    snprintf(x->explained, sizeof x->explained, "%.*s", (int)strcspn(tail, "/"), tail);
    x->sees_all = gate_is_admin(x->server, peer_of(con), head, x->key);
    for (int i = 0; i < N_EXPLAIN_PARAMETERS; i++)
        x->explain[i] = explain_parameters[i].dflt;
    MHD_get_connection_values_n(con, MHD_GET_ARGUMENT_KIND, take_parameter, x);
}

/* A POST comes in, with its head known and nothing of its body read; or a GET that has to be computed. */
static enum MHD_Result begin_post(struct server *s, struct MHD_Connection *con, const struct route *route,
                                  const char *tail, const struct head *head, const struct body_frame *frame,
                                  struct key *key, void **state)
{
    struct problem p = { 0 };
    struct exchange *x = NULL;
    char id[REQUEST_ID_ROOM];
    bool id_taken = request_id_make(head, id);
    const struct view *told = s->views;
    bool has_body = !route->endpoint->explains && !route->endpoint->tells;
    if ((has_body && !guard_body(head, frame, s->options.body_max_bytes, &p)) || !gate_count(s, peer_of(con), &p)
        || (route->endpoint->tells && !wake_tell(s, route->endpoint->tells, tail, &told, &p))
        || !admit(s, &x, route, key, frame, &p)) {
        usage_refuse(s, route, key, &p);
        return send_problem(s, con, &p, id, true);
    }
    x->client = s->asking.client;
    memcpy(x->id, id, sizeof x->id);
    x->id_refused = !id_taken;
    x->connection = con;
    x->model = (int)(told - s->views);
    x->fd = MHD_get_connection_info(con, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    *state = x;
    if (route->endpoint->explains)
        take_explained(x, con, head, tail);
    watch_client(x);
    peer_set(s, peer_of(con), PEER_BODY);
    return MHD_YES;
}

static enum MHD_Result begin_request(struct server *s, struct MHD_Connection *con, const char *url, const char *method,
                                     const char *version, void **state)
{
    struct head head = { .method = method, .path = url, .version = version };
    struct body_frame frame;
    struct problem p = { 0 };
    struct key *key = NULL;
    char id[REQUEST_ID_ROOM];
    const char *tail = "";
    atomic_fetch_add(&s->n_requests, 1);
    MHD_get_connection_values_n(con, MHD_HEADER_KIND, take_header, &head);
    request_id_make(&head, id);
    if (!guard_framing(&head, &frame, &p))
        return send_problem(s, con, &p, id, true);
    if (!is_known_method(method)) {
        refuse(&p, PROBLEM_not_implemented, NULL, "the method %.20s is not known here", method);
        return send_problem(s, con, &p, id, true);
    }
    peer_set(s, peer_of(con), PEER_BUSY);
    if (!frame.chunked && frame.length == 0 && !is_explaining(method, url)
        && (strcmp(method, "POST") != 0 || is_telling(con, method, url))) {
        *state = &plain_request; /* an answer from here would end the connection */
        return MHD_YES;
    }
    const struct route *route = gate_pass(s, peer_of(con), &head, &tail, &key, &p);
    if (!route)
        return send_refusal(s, con, &p, id, true);
    s->asking.key = key;
    if ((strcmp(route->method, "POST") != 0 || route->endpoint->get) && (frame.chunked || frame.length > 0)) {
        refuse(&p, PROBLEM_invalid_value, NULL, "%s %.100s takes no body", method, head.path);
        return send_problem(s, con, &p, id, true);
    }
    s->answering = key;
    return begin_post(s, con, route, tail, &head, &frame, key, state);
}

static enum MHD_Result step_post(struct exchange *x, bool *sleeps)
{
    if (atomic_load(&x->gone))
        return MHD_NO;
    if (atomic_load(&x->phase) == X_RUNNING)
        return go_on(x, sleeps);
    if (x->problem.code != PROBLEM_none) {
        retry_estimate(x->server, &x->problem);
        return send_problem(x->server, x->connection, &x->problem, x->id, false);
    }
    return send_body(x->server, x->connection, MHD_HTTP_OK, "application/json", &x->out, x->id, NULL, false);
}

/* The body is there, or something happened that woke the connection. */
static enum MHD_Result continue_post(struct exchange *x)
{
    struct server *s = x->server;
    if (atomic_load(&x->phase) == X_READING && x->route->endpoint->tells) {
        peer_set(s, peer_of(x->connection), PEER_BUSY);
        wake_begin(x);
    } else if (atomic_load(&x->phase) == X_READING) {
        peer_set(s, peer_of(x->connection), PEER_BUSY);
        if (x->problem.code != PROBLEM_none)
            return send_problem(s, x->connection, &x->problem, x->id, true);
        atomic_store(&x->phase, X_WORKING);
        MHD_suspend_connection(x->connection);
        if (!work_push(s, x)) {
            refuse(&x->problem, PROBLEM_shutting_down, NULL, "the server ends; send the request elsewhere");
            exchange_worked(x, X_READY);
        }
        return MHD_YES;
    }
    for (;;) {
        bool sleeps = false;
        unsigned n_wakes = count_wakes(x);
        enum MHD_Result result = step_post(x, &sleeps);
        if (!sleeps || fall_asleep(x, n_wakes))
            return result;
    }
}

static enum MHD_Result on_request(void *server, struct MHD_Connection *con, const char *url, const char *method,
                                  const char *version, const char *bytes, size_t *n_bytes, void **state)
{
    struct server *s = server;
    s->answering = NULL;
    usage_take_keys(s);
    journal_asks(s, method, url, *state == &plain_request ? NULL : *state);
    s->asking.client = peer_of(con) ? peer_of(con)->ip : (struct ip){ 0 };
    if (!*state)
        return begin_request(s, con, url, method, version, state);
    if (*state == &plain_request) {
        struct head head = { .method = method, .path = url, .version = version };
        MHD_get_connection_values_n(con, MHD_HEADER_KIND, take_header, &head);
        return answer_plain(s, con, &head);
    }
    struct exchange *x = *state;
    s->answering = x->key;
    if (*n_bytes == 0)
        return continue_post(x);
    enum MHD_Result result = take_body(x, bytes, *n_bytes);
    *n_bytes = 0;
    return result;
}

static void on_completed(void *server, struct MHD_Connection *con, void **state, enum MHD_RequestTerminationCode why)
{
    struct server *s = server;
    struct exchange *x = *state == &plain_request ? NULL : *state;
    *state = NULL;
    peer_set(s, peer_of(con), PEER_IDLE);
    gate_uncount(s, peer_of(con));
    if (!x)
        return;
    x->answered = why == MHD_REQUEST_TERMINATED_COMPLETED_OK;
    if (!x->answered && x->problem.code == PROBLEM_none) {
        atomic_store(&x->gone, true);
        x->ended = false;
    }
    watch_forget(x);
    MHD_set_connection_option(con, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)IDLE_S);
    exchange_release(x);
}

/* The first line of a request is there: its headers have a deadline. */
static void *on_request_line(void *server, const char *uri, struct MHD_Connection *con)
{
    (void)uri;
    peer_set(server, peer_of(con), PEER_HEAD);
    return NULL;
}

static void on_connection(void *server, struct MHD_Connection *con, void **peer,
                          enum MHD_ConnectionNotificationCode what)
{
    struct server *s = server;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        lock_take(&s->peer_lock);
        if (*peer)
            addresses_remove(&s->addresses, &((struct peer *)*peer)->from);
        lock_release(&s->peer_lock);
        peer_close(s, *peer);
        *peer = NULL;
        s->any_closed = true;
        atomic_fetch_sub(&s->n_connections, 1);
        return;
    }
    int fd = MHD_get_connection_info(con, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    int bytes = SEND_BUFFER_BYTES, ms = USER_TIMEOUT_MS, on = 1;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
    if (s->options.tls_cert)
        port_refuse_plain(fd);
    *peer = peer_open(s, fd);
    if (*peer) {
        struct peer *p = *peer;
        gate_arrived(s, p, MHD_get_connection_info(con, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
        lock_take(&s->peer_lock);
        addresses_add(&s->addresses, &p->from);
        lock_release(&s->peer_lock);
    }
    atomic_fetch_add(&s->n_connections, 1);
}

/* libtasn1, with which GnuTLS signs and reads certificates, does not survive that memory is out: both begin only where
 * more than they take is there to be had. What remains is another thread that takes it in that instant. */
static bool memory_for_tls(size_t bytes)
{
    void *there = mem_alloc(bytes);
    mem_free(there);
    return there != NULL;
}

/* Before a byte is read: the connection is closed at once. */
static enum MHD_Result on_accept(void *server, const struct sockaddr *from, socklen_t n)
{
    struct server *s = server;
    struct address address;
    (void)n;
    if (s->options.tls_cert && !memory_for_tls(HANDSHAKE_BYTES))
        return MHD_NO;
    gate_address(s, from, &address);
    lock_take(&s->peer_lock);
    bool may = addresses_may(&s->addresses, &address);
    lock_release(&s->peer_lock);
    if (may)
        return MHD_YES;
    atomic_fetch_add(&s->n_turned_away, 1);
    return MHD_NO;
}

bool server_take_waiting(struct server *s, int socket)
{
    struct came_in in = { .n = sizeof in.from };
    atomic_store(&s->taking, true); /* before the look at these two: take_no_more() clears them and waits for this */
    int listening = socket == 0 ? atomic_load(&s->listen)
                    : socket <= atomic_load(&s->n_more) ? s->options.sockets[socket] : 0;
    bool full = rouse_n_sockets(s) == ROUSE_SOCKETS;
    in.fd = listening > 0 && !full ? port_accept(listening, &in.from, &in.n) : -1;
    if (in.fd >= 0)
        rouse_add_socket(s, &in);
    else if (full)
        errno = EAGAIN;
    atomic_store(&s->taking, false);
    return in.fd >= 0;
}

/* ---- the http thread ---- */

static void resume_woken(struct server *s)
{
    for (struct exchange *x = rouse_take(s), *next; x; x = next) {
        next = x->next_woken;
        MHD_resume_connection(x->connection);
    }
}

static void http_main(void *arg)
{
    struct server *s = arg;
    struct came_in in;
    unsigned long long ms;
    while (!atomic_load(&s->http_stop)) {
        resume_woken(s);
        while (rouse_take_socket(s, &in)) /* closed where it fails, or where its address has as many as it may */
            MHD_add_connection(s->daemon, in.fd, (struct sockaddr *)&in.from, in.n);
        s->any_closed = false;
        MHD_run(s->daemon);
        if (s->any_closed) /* only at its next run libmicrohttpd listens again, where it had too many */
            continue;
        bool timed = MHD_get_timeout(s->daemon, &ms) == MHD_YES;
        if (!timed || ms > 0)
            rouse_wait(s, timed && ms < INT32_MAX ? (int)ms : -1);
    }
}

static bool start_http(struct server *s, hearth_error *err)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (!info)
        return fail(err, HEARTH_ERR_IO, "this libmicrohttpd was built without epoll");
    return rouse_by(s, info->epoll_fd, err) && thread_start(&s->http, "hearth-http", http_main, s, err);
}

/* Paths are compared as they came, so that nothing hides behind a '%'. */
static size_t keep_escapes(void *server, struct MHD_Connection *con, char *text)
{
    (void)server;
    (void)con;
    return strlen(text);
}

/* libmicrohttpd says why it cannot start; later it has nothing to say that is ours. */
static void on_word(void *server, const char *fmt, va_list args)
{
    struct server *s = server;
    if (s->daemon || s->said[0]) /* the first word is the cause */
        return;
    vsnprintf(s->said, sizeof s->said, fmt, args);
    s->said[strcspn(s->said, ".\n")] = 0;
}

/* ---- start and end ---- */

/* As many descriptors as the system lets this process have, and so many connections at most. */
static int allow_connections(int wanted)
{
    enum { OTHERS = 64 }; /* files, epoll, the program's own */
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return wanted;
    if (limit.rlim_cur < (rlim_t)wanted + OTHERS) {
        limit.rlim_cur = limit.rlim_max < (rlim_t)wanted + OTHERS ? limit.rlim_max : (rlim_t)wanted + OTHERS;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur >= (rlim_t)wanted + OTHERS ? wanted : max_int((int)limit.rlim_cur - OTHERS, 16);
}

static bool make_exchanges(struct server *s, hearth_error *err)
{
    enum { WITHOUT_ANSWERS = 64 }; /* tokenize and the like, beside those that generate */
    s->n_exchanges = server_slots(s) + s->options.n_queue + WITHOUT_ANSWERS;
    s->exchanges = mem_alloc((size_t)s->n_exchanges * sizeof *s->exchanges);
    if (!s->exchanges)
        return fail_memory(err, "the server's requests");
    for (int i = s->n_exchanges - 1; i >= 0; i--) {
        struct exchange *x = &s->exchanges[i];
        if (!lock_init(&x->wake_lock))
            return fail_memory(err, "the server's requests");
        x->server = s;
        x->next = s->free;
        s->free = x;
    }
    return true;
}

static bool start_daemon(struct server *s, hearth_error *err)
{
    const struct server_options *o = &s->options;
    int own = -1;
    s->port = o->port;
    s->n_connections_most = allow_connections(o->n_connections);
    if (!addresses_init(&s->addresses, s->n_connections_most, o->n_per_address))
        return fail_memory(err, "the addresses of connections");
    if (o->tls_cert && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        return fail(err, HEARTH_ERR_USAGE, "this libmicrohttpd was built without TLS; start without --tls-cert, "
                    "behind a proxy that has it");
    if (o->tls_cert && !memory_for_tls(CERTIFICATE_BYTES))
        return fail_memory(err, "the certificate");
    if (o->n_sockets == 0 && (own = port_listen(o->host, &s->port, err)) < 0)
        return false;
    int fd = own < 0 ? o->sockets[0] : own;
    s->socket_file = own < 0 ? 0 : port_file(o->host);
    if (o->tls_cert)
        port_wait_for_bytes(fd);
    struct MHD_OptionItem tls[] = {
        { MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)o->tls_cert },
        { MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)o->tls_key },
        { MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2" },
        { MHD_OPTION_END, 0, NULL },
    };
    if (o->sandboxed && !sandbox_enter(o->sandbox, err)) {
        if (own >= 0)
            close(own);
        port_remove_file(o->host, s->socket_file);
        return false;
    }
    s->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (o->tls_cert ? MHD_USE_TLS : 0), 0,
        on_accept, s, on_request, s, MHD_OPTION_EXTERNAL_LOGGER, on_word, s, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)s->n_connections_most, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HEAD_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
        MHD_OPTION_URI_LOG_CALLBACK, on_request_line, s, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, s,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_ARRAY, o->tls_cert ? tls : tls + 3, MHD_OPTION_END);
    if (s->daemon) {
        atomic_store(&s->listen, fd);
        atomic_store(&s->n_more, max_int(o->n_sockets - 1, 0));
        return true;
    }
    if (own >= 0)
        close(own);
    port_remove_file(o->host, s->socket_file);
    if (o->tls_cert && s->said[0])
        return fail(err, HEARTH_ERR_USAGE, "the certificate and key (--tls-cert, --tls-key) cannot be used: %s; give "
                    "PEM files that belong together, the key without a password", s->said);
    return fail(err, HEARTH_ERR_IO, "the HTTP server cannot start; raise the limits on open files and threads "
                "(ulimit)");
}

static bool take_for_prompt(void *memory, uint64_t bytes) { return memory_take(memory, bytes); }
static void give_for_prompt(void *memory, uint64_t bytes) { memory_give(memory, bytes); }

uint64_t server_memory_bytes(const struct server_options *o)
{
    uint64_t n = (uint64_t)allow_connections(o->n_connections);
    return o->memory_bytes + n * (CONNECTION_BYTES + (o->tls_cert ? TLS_BYTES : 0));
}

struct server *server_start(const struct server_options *options, hearth_error *err)
{
    struct server *s = mem_alloc(sizeof *s);
    err_clear(err);
    if (!s || !lock_init(&s->work_lock) || !lock_init(&s->peer_lock) || !lock_init(&s->rouse.lock)) {
        mem_free(s);
        fail_memory(err, "the server");
        return NULL;
    }
    s->options = *options;
    s->memory.most = options->memory_bytes;
    s->start_ns = clock_ns();
    s->started_s = clock_unix_s();
    s->watch_epoll = s->watch_event = s->rouse.epoll = s->rouse.event = -1;
    relief_open(s, "");
    bool ok = gate_open(s, err)
        && (!options->keys || keys_read(&s->keys, options->keys, options->keys_name, err));
    ok = ok && rouse_open(s, err);
    if (ok) {
        hearth_engine_keep_books(options->engine, take_for_prompt, give_for_prompt, &s->memory);
        hearth_engine_on_wakes(options->engine, rouse, s);
    }
    if (ok && served_fill(s, err) && make_exchanges(s, err) && watch_start(s, err) && work_start(s, err)
        && start_daemon(s, err) && start_http(s, err))
        return s;
    server_stop(s);
    return NULL;
}

/* From here on no connection is taken. */
static void take_no_more(struct server *s)
{
    atomic_store(&s->listen, 0);
    atomic_store(&s->n_more, 0);
    while (atomic_load(&s->taking))
        poll(NULL, 0, 1);
    if (s->daemon)
        MHD_quiesce_daemon(s->daemon);
    rouse(s);
}

void server_drain(struct server *s)
{
    server_leave(s);
    if (atomic_load(&s->draining))
        return;
    if (s->options.n_sockets > 0)
        take_no_more(s);
    atomic_store(&s->draining, true);
}

/* Everybody who waits is told, and then there is nobody; or some read so slowly that they cannot be waited for. */
static void end_exchanges(struct server *s, int64_t until_ns)
{
    for (int n = 1; n > 0 && clock_ns() < until_ns;) {
        n = 0;
        for (int k = 0; k < s->n_exchanges; k++) {
            struct exchange *x = &s->exchanges[k];
            if (atomic_load(&x->phase) == X_FREE || atomic_load(&x->phase) == X_READING)
                continue;
            n++;
            atomic_store(&x->stopping, true);
            exchange_wake(x);
        }
        poll(NULL, 0, 1);
    }
}

void server_stop(struct server *s)
{
    if (!s)
        return;
    enum { TELL_MS = 300 }; /* and as long again for those whose requests were being read */
    static const int64_t tell_ns = (int64_t)TELL_MS * 1000000;
    int own = s->options.n_sockets == 0 ? atomic_load(&s->listen) : 0;
    server_drain(s);
    take_no_more(s);
    if (s->daemon) {
        end_exchanges(s, clock_ns() + tell_ns);
        work_stop(s); /* from here on no connection is suspended for it: libmicrohttpd insists on that */
        end_exchanges(s, clock_ns() + tell_ns);
        atomic_store(&s->http_stop, true);
        rouse(s);
        thread_join(&s->http);
        resume_woken(s); /* libmicrohttpd does not end while somebody sleeps */
        MHD_stop_daemon(s->daemon);
        if (own > 0)
            close(own);
        port_remove_file(s->options.host, s->socket_file);
    } else {
        work_stop(s);
    }
    watch_stop(s);
    relief_close(s);
    hearth_engine_keep_books(s->options.engine, NULL, NULL, NULL);
    hearth_engine_on_wakes(s->options.engine, NULL, NULL);
    rouse_close(s);
    for (int i = 0; i < s->n_exchanges; i++)
        if (s->exchanges && s->exchanges[i].server)
            lock_destroy(&s->exchanges[i].wake_lock);
    mem_free(s->exchanges);
    keys_free(&s->keys);
    if (s->fresh_keys)
        keys_free(s->fresh_keys);
    mem_free(s->fresh_keys);
    served_free(s);
    addresses_free(&s->addresses);
    lock_destroy(&s->work_lock);
    lock_destroy(&s->peer_lock);
    lock_destroy(&s->rouse.lock);
    mem_free(s);
}
