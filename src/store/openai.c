#include "store/openai.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "store/foreign.h"
#include "store/sse.h"

enum { CONNECT_MS = 10000, LIST_MS = 30000, MOST_ERROR_BYTES = 64 << 10, MOST_LIST_BYTES = 4 << 20 };

/* ---- a server ---- */

static bool take_end(char *base, const char *end)
{
    size_t n = strlen(base), m = strlen(end);
    if (n <= m || strcmp(base + n - m, end) != 0)
        return false;
    base[n - m] = 0;
    return true;
}

static void take_slashes(char *base)
{
    size_t n = strlen(base);
    while (n > 0 && base[n - 1] == '/')
        base[--n] = 0;
}

bool openai_server_open(struct openai_server *s, const char *url, const char *key, const char *ca_file, int total_ms,
                        bool (*stop)(void *arg), hearth_error *err)
{
    *s = (struct openai_server){ .key = key, .total_ms = total_ms, .stop = stop };
    if (!http_place_of(url, &s->place, err) || (key && !http_key_may_go(&s->place, key, err)))
        return false;
    snprintf(s->base, sizeof s->base, "%s", url);
    take_slashes(s->base);
    bool endpoint = take_end(s->base, "/chat/completions") || take_end(s->base, "/completions");
    take_slashes(s->base);
    size_t n = strlen(s->base);
    if (n + sizeof "/v1/chat/completions" > sizeof s->base)
        return fail(err, HEARTH_ERR_USAGE, "%s: its address has %zu bytes; at most %zu are taken", s->place.name, n,
                    sizeof s->base - sizeof "/v1/chat/completions");
    if (!endpoint && (n < 3 || strcmp(s->base + n - 3, "/v1") != 0))
        strcpy(s->base + n, "/v1");
    s->http = http_client_create(ca_file, err);
    return s->http != NULL;
}

void openai_server_close(struct openai_server *s)
{
    http_client_destroy(s->http);
    s->http = NULL;
}

/* ---- what it says when it does not answer ---- */

static const char *advice_of(int status)
{
    if (status == 401 || status == 403)
        return "check the key (--key-file)";
    if (status == 404)
        return "check the address (--api) and the model (--api-model)";
    if (status == 408 || status == 429)
        return "it is asked too often, or the account is used up";
    if (status >= 500)
        return "that is the server's fault; try again later";
    return "the request is not to its taste";
}

/* said: what it says itself, in one line; "". */
static bool refused(const struct openai_server *s, const struct http_answer *h, const char *said, hearth_error *err)
{
    char wait[60] = "";
    if (h->status >= 300 && h->status < 400)
        return fail(err, HEARTH_ERR_IO, "%.100s answered %d and points to %s, which is not followed; give that address "
                    "(--api) if it is the right one", s->place.name, h->status,
                    h->location[0] ? h->location : "nothing");
    if (h->retry_after_s > 0)
        snprintf(wait, sizeof wait, "; it asks to wait %lld s", (long long)h->retry_after_s);
    return fail(err, HEARTH_ERR_IO, "%.100s answered %d%s%s; %s%s", s->place.name, h->status, said[0] ? ": " : "", said,
                advice_of(h->status), wait);
}

static bool another_type(const struct openai_server *s, const struct http_answer *h, const char *wanted,
                         const char *said, hearth_error *err)
{
    return fail(err, HEARTH_ERR_FORMAT, "%.100s answered with %s where %s was asked for%s%.150s; is the address "
                "(--api) that of an OpenAI-style API?", s->place.name,
                h->content_type[0] ? h->content_type : "something of no type", wanted, said[0] ? ": " : "", said);
}

/* ---- asking ---- */

struct reading {
    struct openai_server *server;
    struct openai_answer *answer; /* NULL: no stream is wanted, all goes into body */
    int64_t now_ns; /* when the bytes came that are read: events that came together have one time */
    struct sse sse;
    struct buf body; /* of what is no stream, or an error */
    char said[OPENAI_SAID_BYTES];
};

static bool take_event(void *arg, struct str data, hearth_error *err)
{
    struct reading *r = arg;
    foreign_hide((char *)(uintptr_t)data.ptr, data.len, r->server->key); /* the bytes are those of r->sse */
    return openai_read_event(r->answer, data, r->now_ns, err);
}

static bool is_stream(const struct http_answer *h)
{
    return h->status == 200 && strcmp(h->content_type, "text/event-stream") == 0;
}

static bool take(void *arg, const struct http_answer *h, const char *bytes, size_t n, hearth_error *err)
{
    struct reading *r = arg;
    r->now_ns = clock_ns();
    if (r->answer && is_stream(h))
        return sse_read(&r->sse, bytes, n, take_event, r, err)
            || err_context(err, "%.100s", r->server->place.name);
    if (r->answer || h->status != 200) /* enough to find a message in it */
        n = min_size(n, MOST_ERROR_BYTES - r->body.len);
    buf_put(&r->body, bytes, n);
    return !r->body.failed || fail_memory(err, "the answer");
}

/* body NULL: GET. */
static bool exchange(struct reading *r, const char *endpoint, const struct buf *body, struct http_answer *h,
                     hearth_error *err)
{
    struct openai_server *s = r->server;
    char url[HTTP_URL_BYTES];
    snprintf(url, sizeof url, "%s%s", s->base, endpoint);
    bool ok = http_send(s->http, &(struct http_request){
                            .url = url,
                            .body = body ? body->ptr : NULL,
                            .n_body = body ? body->len : 0,
                            .accept = r->answer ? "text/event-stream" : "application/json",
                            .key = s->key,
                            .connect_ms = CONNECT_MS,
                            .total_ms = r->answer ? s->total_ms : min_int(s->total_ms, LIST_MS),
                            .most_bytes = r->answer ? OPENAI_MOST_BYTES : MOST_LIST_BYTES,
                            .take = take,
                            .stop = s->stop,
                            .arg = r,
                        }, h, err);
    foreign_hide(r->body.ptr, r->body.len, s->key);
    openai_error_text(r->said, sizeof r->said, buf_str(&r->body));
    foreign_hide(r->said, strlen(r->said), s->key); /* JSON may have written it with escapes */
    if (!ok)
        foreign_hide(err->message, strlen(err->message), s->key);
    if (h->status != 0 && h->status != 200 && err->status != HEARTH_ERR_CANCELLED)
        ok = refused(s, h, r->said, err); /* also when not all of that came */
    return ok;
}

static int put_piece(const char *bytes, size_t n, void *out)
{
    struct buf *b = out;
    buf_put(b, bytes, n);
    return b->failed ? -1 : 0;
}

/* With what every question has. */
static bool put_body(struct buf *out, json_t *body, bool new_limit_name, hearth_error *err)
{
    json_t *limit = json_object_get(body, "max_tokens");
    bool ok = json_object_set_new(body, "stream", json_true()) == 0
           && json_object_set_new(body, "stream_options", json_pack("{s:b}", "include_usage", 1)) == 0;
    if (ok && new_limit_name && limit)
        ok = json_object_set(body, "max_completion_tokens", limit) == 0 && json_object_del(body, "max_tokens") == 0;
    return (ok && json_dump_callback(body, put_piece, out, JSON_COMPACT | JSON_REAL_PRECISION(9)) == 0)
        || fail_memory(err, "the request");
}

static bool check_end(const struct openai_server *s, const struct openai_answer *a, hearth_error *err)
{
    if (a->done || a->finish[0])
        return true;
    return fail(err, HEARTH_ERR_IO, "%.100s: the stream ended after %d pieces of text, without saying that the answer "
                "does; try again", s->place.name, a->n_pieces);
}

static bool ask_once(struct openai_server *s, bool chat, json_t *body, struct openai_answer *a,
                     char said[OPENAI_SAID_BYTES], hearth_error *err)
{
    struct reading r = { .server = s, .answer = a };
    struct http_answer h = { 0 };
    struct buf text = { 0 };
    openai_answer_begin(a);
    bool ok = put_body(&text, body, s->new_limit_name, err);
    a->start_ns = clock_ns();
    if (ok)
        ok = exchange(&r, chat ? "/chat/completions" : "/completions", &text, &h, err);
    a->end_ns = clock_ns();
    a->status = h.status;
    a->connect_ms = h.connect_ms;
    if (ok && !is_stream(&h))
        ok = another_type(s, &h, "a stream of events", r.said, err);
    if (ok)
        ok = check_end(s, a, err);
    memcpy(said, r.said, OPENAI_SAID_BYTES);
    buf_free(&text);
    sse_free(&r.sse);
    buf_free(&r.body);
    return ok;
}

bool openai_ask(struct openai_server *s, bool chat, json_t *body, struct openai_answer *a, hearth_error *err)
{
    char said[OPENAI_SAID_BYTES];
    bool ok = ask_once(s, chat, body, a, said, err);
    if (!ok && a->status == 400 && !s->new_limit_name && strstr(said, "max_completion_tokens")) {
        s->new_limit_name = true; /* OpenAI's models that think take no other */
        err_clear(err);
        ok = ask_once(s, chat, body, a, said, err);
    }
    return ok;
}

/* ---- which models ---- */

static bool choose_model(const struct openai_server *s, const json_t *list, char *out, size_t room, hearth_error *err)
{
    char names[200] = "";
    size_t n = json_array_size(list), used = 0;
    const char *first = json_string_value(json_object_get(json_array_get(list, 0), "id"));
    if (n == 1 && first && *first && strlen(first) < room) {
        strcpy(out, first);
        return true;
    }
    for (size_t i = 0; i < n && i < 5; i++) {
        char name[60];
        foreign_line(name, sizeof name, str_z(json_string_value(json_object_get(json_array_get(list, i), "id"))));
        if (used + strlen(name) + 3 < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", name);
    }
    return fail(err, HEARTH_ERR_USAGE, "%.100s has %zu models%s%s%s; say which one (--api-model)", s->place.name, n,
                used ? ": " : "", names, n > 5 ? " ..." : "");
}

bool openai_only_model(struct openai_server *s, char *out, size_t room, hearth_error *err)
{
    struct reading r = { .server = s };
    struct http_answer h = { 0 };
    bool ok = exchange(&r, "/models", NULL, &h, err);
    json_t *o = ok ? json_loadb(r.body.ptr ? r.body.ptr : "", r.body.len, 0, NULL) : NULL;
    const json_t *list = json_object_get(o, "data");
    if (ok && !json_is_array(list))
        ok = another_type(s, &h, "a list of models", r.said, err);
    else if (ok)
        ok = choose_model(s, list, out, room, err);
    json_decref(o);
    buf_free(&r.body);
    return ok;
}
