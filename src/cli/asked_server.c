#include "cli/asked_server.h"

#include <stdio.h>
#include <string.h>

#include "cli/key_text.h"
#include "store/foreign.h"
#include "store/openai.h"
#include "store/sse.h"

enum { CONNECT_MS = 5000, TOTAL_MS = 15000, MOST_BYTES = 4 << 20 };

static void cut_end(char *text, const char *end)
{
    size_t n = strlen(text), n_end = strlen(end);
    if (n >= n_end && strcmp(text + n - n_end, end) == 0)
        text[n - n_end] = 0;
}

bool asked_open(struct asked_server *s, const struct opt_value *url, const struct opt_value *key_file,
                const struct opt_value *ca_file, hearth_error *err)
{
    *s = (struct asked_server){ 0 };
    const char *text = url->text ? url->text : "http://127.0.0.1:8080";
    const char *socket = strncmp(text, "unix:", 5) == 0 ? text : NULL;
    if (socket)
        text = "http://localhost"; /* for the server, which wants a Host that is its own */
    if (!http_place_of(text, &s->place, err))
        return err_context(err, "--server");
    if (snprintf(s->base, sizeof s->base, "%s", text) >= (int)sizeof s->base)
        return fail(err, HEARTH_ERR_USAGE, "--server has more than %zu bytes", sizeof s->base - 1);
    cut_end(s->base, "/");
    cut_end(s->base, "/v1");
    if (!key_text_read(s->key, sizeof s->key, "--key-file", key_file->text, err))
        return false;
    s->http = http_client_create(ca_file->text, err);
    if (s->http && socket && !http_client_through(s->http, socket, err))
        return err_context(err, "--server");
    if (socket)
        snprintf(s->place.name, sizeof s->place.name, "%.*s", (int)sizeof s->place.name - 1, socket);
    return s->http != NULL;
}

void asked_close(struct asked_server *s)
{
    http_client_destroy(s->http);
    buf_free(&s->body);
    memset(s->key, 0, sizeof s->key);
}

static bool take(void *arg, const struct http_answer *h, const char *bytes, size_t n, hearth_error *err)
{
    struct asked_server *s = arg;
    (void)h;
    buf_put(&s->body, bytes, n);
    return !s->body.failed || fail_memory(err, "the answer");
}

/* What it says instead of an answer; h NULL: in the middle of one. False always. */
static bool refuse(struct asked_server *s, const struct http_answer *h, hearth_error *err)
{
    char said[OPENAI_SAID_BYTES];
    foreign_hide(s->body.ptr, s->body.len, s->key);
    openai_error_text(said, sizeof said, buf_str(&s->body));
    if (!h)
        return fail(err, HEARTH_ERR_IO, "%.100s: %s", s->place.name, said);
    if (h->status == 200)
        return fail(err, HEARTH_ERR_FORMAT, "%.100s did not answer as a hearth serve does; is one there?",
                    s->place.name);
    return fail(err, HEARTH_ERR_IO, "%.100s answered %d%s%s", s->place.name, h->status, said[0] ? ": " : "", said);
}

json_t *asked_json(struct asked_server *s, const char *path, bool post, hearth_error *err)
{
    char url[HTTP_URL_BYTES + 600];
    struct http_answer h;
    snprintf(url, sizeof url, "%s%s", s->base, path);
    buf_clear(&s->body);
    bool ok = http_send(s->http, &(struct http_request){ .url = url,
                                                         .body = post ? "" : NULL,
                                                         .accept = "application/json",
                                                         .key = s->key[0] ? s->key : NULL,
                                                         .connect_ms = CONNECT_MS,
                                                         .total_ms = TOTAL_MS,
                                                         .most_bytes = MOST_BYTES,
                                                         .take = take,
                                                         .arg = s }, &h, err);
    if (!ok)
        return NULL;
    json_t *o = s->body.len ? json_loadb(s->body.ptr, s->body.len, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (h.status == 200 && json_is_object(o))
        return o;
    json_decref(o);
    refuse(s, &h, err);
    return NULL;
}

/* ---- events ---- */

struct listening {
    struct asked_server *server;
    const struct asked_events *e;
    struct sse sse;
};

static bool take_event(void *arg, struct str data, hearth_error *err)
{
    struct listening *l = arg;
    json_t *o = json_loadb(data.ptr, data.len, JSON_REJECT_DUPLICATES, NULL);
    bool is_error = json_object_get(o, "error") != NULL;
    if (is_error) {
        buf_clear(&l->server->body);
        buf_put(&l->server->body, data.ptr, data.len);
    }
    bool ok = is_error       ? refuse(l->server, NULL, err)
              : json_is_object(o) ? l->e->event(l->e->arg, o, err)
                                  : fail(err, HEARTH_ERR_FORMAT, "%.100s sent an event that is no JSON object",
                                         l->server->place.name);
    json_decref(o);
    return ok;
}

static bool take_events(void *arg, const struct http_answer *h, const char *bytes, size_t n, hearth_error *err)
{
    struct listening *l = arg;
    if (h->status == 200 && strcmp(h->content_type, "text/event-stream") == 0)
        return sse_read(&l->sse, bytes, n, take_event, l, err);
    return take(l->server, h, bytes, n, err);
}

static bool stop_listening(void *arg)
{
    const struct listening *l = arg;
    return l->e->stop(l->e->arg);
}

bool asked_events(struct asked_server *s, const char *path, const struct asked_events *e, hearth_error *err)
{
    char url[HTTP_URL_BYTES + 600];
    struct http_answer h;
    struct listening l = { .server = s, .e = e };
    snprintf(url, sizeof url, "%s%s", s->base, path);
    buf_clear(&s->body);
    bool ok = http_send(s->http, &(struct http_request){ .url = url,
                                                         .body = "",
                                                         .accept = "text/event-stream",
                                                         .key = s->key[0] ? s->key : NULL,
                                                         .connect_ms = CONNECT_MS,
                                                         .most_bytes = SIZE_MAX,
                                                         .take = take_events,
                                                         .stop = stop_listening,
                                                         .arg = &l }, &h, err);
    sse_free(&l.sse);
    return ok && (h.status == 200 && strcmp(h.content_type, "text/event-stream") == 0 ? true : refuse(s, &h, err));
}
