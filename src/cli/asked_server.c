#include "cli/asked_server.h"

#include <stdio.h>
#include <string.h>

#include "cli/key_text.h"
#include "store/foreign.h"
#include "store/openai.h"

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

json_t *asked_json(struct asked_server *s, const char *path, bool post, hearth_error *err)
{
    char url[HTTP_URL_BYTES + 600], said[OPENAI_SAID_BYTES];
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
    foreign_hide(s->body.ptr, s->body.len, s->key);
    openai_error_text(said, sizeof said, buf_str(&s->body));
    json_t *o = s->body.len ? json_loadb(s->body.ptr, s->body.len, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (h.status == 200 && json_is_object(o))
        return o;
    json_decref(o);
    if (h.status == 200)
        fail(err, HEARTH_ERR_FORMAT, "%.100s did not answer with JSON; is a hearth serve there?", s->place.name);
    else
        fail(err, HEARTH_ERR_IO, "%.100s answered %d%s%s", s->place.name, h.status, said[0] ? ": " : "", said);
    return NULL;
}
