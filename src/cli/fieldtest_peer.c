/* fieldtest_peer.c: questions to a llama-server. */
#include <stdio.h>
#include <string.h>

#include "cli/asked_server.h"
#include "cli/fieldtest.h"
#include "cli/interrupt.h"
#include "cli/key_text.h"
#include "store/foreign.h"
#include "store/openai.h"

enum {
    CONNECT_MS = 10000,
    MOST_ANSWER_BYTES = 16 << 20,
    MOST_JSON_COST = 192 << 20, /* memory that reading an answer may take: 512 places of 50 tokens take half of it */
};

static void cut_end(char *text, const char *end)
{
    size_t n = strlen(text), n_end = strlen(end);
    if (n >= n_end && strcmp(text + n - n_end, end) == 0)
        text[n - n_end] = 0;
}

bool fieldtest_peer_open(struct fieldtest_peer *p, const char *url, const char *key_file, const char *ca_file,
                         int timeout_s, hearth_error *err)
{
    *p = (struct fieldtest_peer){ .total_ms = timeout_s * 1000 };
    if (!http_place_of(url, &p->place, err))
        return err_context(err, "--peer");
    if (snprintf(p->base, sizeof p->base - 40, "%s", url) >= (int)sizeof p->base - 40)
        return fail(err, HEARTH_ERR_USAGE, "--peer has more than %zu bytes", sizeof p->base - 41);
    cut_end(p->base, "/");
    cut_end(p->base, "/v1");
    if (!key_text_read(p->key, sizeof p->key, "--key-file", key_file, err)
        || (p->key[0] && !http_key_may_go(&p->place, p->key, err)))
        return false;
    p->http = http_client_create(ca_file, err);
    return p->http != NULL;
}

void fieldtest_peer_close(struct fieldtest_peer *p)
{
    http_client_destroy(p->http);
    buf_free(&p->body);
    memset(p->key, 0, sizeof p->key);
    p->http = NULL;
}

static bool take(void *arg, const struct http_answer *h, const char *bytes, size_t n, hearth_error *err)
{
    struct fieldtest_peer *p = arg;
    (void)h;
    buf_put(&p->body, bytes, n);
    return !p->body.failed || fail_memory(err, "the answer");
}

static bool stop(void *arg)
{
    (void)arg;
    return interrupt_pending();
}

static int put_piece(const char *bytes, size_t n, void *out)
{
    struct buf *b = out;
    buf_put(b, bytes, n);
    return b->failed ? -1 : 0;
}

static bool refused(struct fieldtest_peer *p, const char *path, const struct http_answer *h, hearth_error *err)
{
    char said[OPENAI_SAID_BYTES];
    const char *key = p->key[0] ? p->key : NULL;
    foreign_hide(p->body.ptr, p->body.len, key);
    openai_error_text(said, sizeof said, buf_str(&p->body));
    foreign_hide(said, strlen(said), key);
    if (h->status >= 300 && h->status < 400)
        return fail(err, HEARTH_ERR_IO, "%.100s answers %d to %s and points to %s, which is not followed",
                    p->place.name, h->status, path, h->location[0] ? h->location : "nothing");
    return fail(err, HEARTH_ERR_IO, "%.100s answers %d to %s%s%s%s", p->place.name, h->status, path,
                said[0] ? ": " : "", said, h->status == 401 || h->status == 403 ? "; check the key (--key-file)" : "");
}

static bool parse(struct fieldtest_peer *p, const char *path, struct json_body *out, hearth_error *err)
{
    struct problem problem = { 0 };
    size_t cost = 0;
    if (json_scan(p->body.ptr, p->body.len, &cost, &problem) && cost > MOST_JSON_COST)
        return fail(err, HEARTH_ERR_FORMAT, "%.100s: its answer to %s takes %zu MiB to read; at most %d are given",
                    p->place.name, path, cost >> 20, MOST_JSON_COST >> 20);
    if (problem.message[0] || !json_parse(out, p->body.ptr, p->body.len, cost, &problem))
        return problem.code == PROBLEM_out_of_memory ? fail_memory(err, "the answer")
             : fail(err, HEARTH_ERR_FORMAT, "%.100s does not answer %s as a llama-server does: %.200s", p->place.name,
                    path, problem.message);
    return true;
}

static bool send(struct fieldtest_peer *p, const char *path, const struct buf *body, struct json_body *out, int *status,
                 hearth_error *err)
{
    char url[HTTP_URL_BYTES];
    struct http_answer h = { 0 };
    snprintf(url, sizeof url, "%s%s", p->base, path);
    buf_clear(&p->body);
    *out = (struct json_body){ 0 };
    bool ok = http_send(p->http, &(struct http_request){ .url = url,
                                                         .body = body ? body->ptr : NULL,
                                                         .n_body = body ? body->len : 0,
                                                         .accept = "application/json",
                                                         .key = p->key[0] ? p->key : NULL,
                                                         .connect_ms = CONNECT_MS,
                                                         .total_ms = p->total_ms,
                                                         .most_bytes = MOST_ANSWER_BYTES,
                                                         .too_long = "no answer that is wanted is as long",
                                                         .take = take,
                                                         .stop = stop,
                                                         .arg = p }, &h, err);
    *status = h.status;
    if (ok && h.status != 200)
        ok = refused(p, path, &h, err);
    else if (ok && p->body.len == 0)
        ok = fail(err, HEARTH_ERR_FORMAT, "%.100s answers %s with nothing", p->place.name, path);
    else if (ok)
        ok = parse(p, path, out, err);
    if (!ok)
        foreign_hide(err->message, strlen(err->message), p->key[0] ? p->key : NULL);
    return ok;
}

bool fieldtest_get(struct fieldtest_peer *p, const char *path, struct json_body *out, int *status, hearth_error *err)
{
    return send(p, path, NULL, out, status, err);
}

bool fieldtest_post(struct fieldtest_peer *p, const char *path, json_t *body, struct json_body *out, int *status,
                    hearth_error *err)
{
    struct buf text = { 0 };
    *out = (struct json_body){ 0 };
    *status = 0;
    bool ok = (body && json_dump_callback(body, put_piece, &text, JSON_COMPACT) == 0 && !text.failed)
           || fail_memory(err, "the request");
    json_decref(body);
    ok = ok && send(p, path, &text, out, status, err);
    buf_free(&text);
    return ok;
}
