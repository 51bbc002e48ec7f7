#include "store/pull.h"

#include <stdio.h>
#include <string.h>

#include "store/download_wait.h"
#include "store/openai.h"

enum { CONNECT_MS = 20000, LIST_MS = 60000, TRIES = 3 };

static const char hf_hub[] = "https://huggingface.co", ollama_hub[] = "https://registry.ollama.ai";

struct reading {
    const struct download_options *o;
    struct buf body;
    size_t most;  /* of the body that is wanted; more ends it */
    bool is_head; /* and then that is fine */
    bool enough;
};

static bool take(void *arg, const struct http_answer *a, const char *bytes, size_t n, hearth_error *err)
{
    struct reading *r = arg;
    (void)a;
    buf_put(&r->body, bytes, min_size(n, r->most - r->body.len));
    if (r->body.failed)
        return fail_memory(err, "the hub's answer");
    r->enough = r->is_head && r->body.len == r->most;
    return !r->enough || fail(err, HEARTH_ERR_FORMAT, "the server sends more than was asked for");
}

static bool stop(void *arg)
{
    const struct reading *r = arg;
    return r->o->stop && r->o->stop(r->o->arg);
}

static bool ask_once(struct reading *r, struct http_client *http, const char *url, const char *accept,
                     const char *range, struct http_answer *a, bool *again, hearth_error *err)
{
    char said[OPENAI_SAID_BYTES] = "";
    struct http_place place = { 0 };
    struct http_request q = {
        .accept = accept, .range = range, .connect_ms = CONNECT_MS, .total_ms = LIST_MS,
        .most_bytes = r->is_head ? SIZE_MAX : r->most, .too_long = "is the address (--hub) right?",
        .take = take, .stop = stop, .arg = r,
    };
    buf_clear(&r->body);
    err_clear(err);
    *again = false;
    if (!download_send(http, url, r->o->key, &q, a, err) && !r->enough) {
        *again = err->status == HEARTH_ERR_IO;
        return false;
    }
    if (a->status == 200 || a->status == 206)
        return true;
    (void)http_place_of(url, &place, NULL);
    if (r->body.len)
        openai_error_text(said, sizeof said, buf_str(&r->body));
    *again = download_refused(a, place.name, said, err);
    return false;
}

static bool ask(struct reading *r, struct http_client *http, const char *url, const char *accept, const char *range,
                struct http_answer *a, hearth_error *err)
{
    bool again = true;
    for (int i = 0; i < TRIES; i++) {
        if (ask_once(r, http, url, accept, range, a, &again, err))
            return true;
        if (!again || i == TRIES - 1)
            return false;
        const struct download_report report = { .event = DOWNLOAD_RETRY, .name = "", .bytes = UINT64_MAX,
                                                .wait_ms = r->o->retry_ms << i, .why = err->message };
        r->o->tell(r->o->arg, &report);
        if (!download_wait(report.wait_ms, r->o->stop, r->o->arg))
            return fail(err, HEARTH_ERR_CANCELLED, "interrupted");
    }
    return false;
}

/* Where the list goes on: of the same hub, or it is not followed. */
static bool take_next(char url[HUB_URL_BYTES], const struct http_answer *a, const char *base, hearth_error *err)
{
    struct http_place hub, next;
    if (!a->next[0])
        return fail(err, HEARTH_ERR_FORMAT, "the hub's list goes on at an address that is none, or longer than %d "
                    "bytes; name the file after a colon, or fetch it by its address", HTTP_URL_BYTES - 1);
    if (!http_place_of(base, &hub, err))
        return false;
    if (!http_place_of_redirect(a->next, &next, err))
        return err_context(err, "the next page of the hub's list");
    if (next.is_tls != hub.is_tls || strcmp(next.name, hub.name) != 0)
        return fail(err, HEARTH_ERR_FORMAT, "the list of %.100s goes on at another place (%.100s); this is not "
                    "followed", hub.name, next.name);
    snprintf(url, HUB_URL_BYTES, "%s", a->next);
    return true;
}

/* All pages of the list that begins at url, which is overwritten. */
static bool list_hf(struct hub_set *out, struct http_client *http, const struct reference *r, const char *base,
                    char url[HUB_URL_BYTES], struct reading *reading, hearth_error *err)
{
    struct buf all = { 0 };
    size_t end[HUB_MOST_PAGES];
    struct str page[HUB_MOST_PAGES];
    struct http_answer a;
    int n = 0;
    bool ok = true, more = true;
    for (; ok && more && n < HUB_MOST_PAGES; n++) {
        reading->most = HUB_MOST_BYTES - all.len;
        ok = ask(reading, http, url, "application/json", NULL, &a, err);
        buf_put(&all, reading->body.ptr, ok ? reading->body.len : 0);
        if (all.failed)
            ok = fail_memory(err, "the hub's answer");
        end[n] = all.len;
        more = ok && a.has_next;
        ok = ok && (!more || take_next(url, &a, base, err));
    }
    if (ok && more)
        ok = fail(err, HEARTH_ERR_FORMAT, "the hub's list has more than %d pages, which no repository of models has; "
                  "fetch the file by its address", HUB_MOST_PAGES);
    for (int i = 0; ok && i < n; i++)
        page[i] = (struct str){ all.ptr + (i ? end[i - 1] : 0), end[i] - (i ? end[i - 1] : 0) };
    ok = ok && hub_read_hf(out, r, base, page, n, err);
    buf_free(&all);
    return ok;
}

bool pull_list(struct hub_set *out, struct http_client *http, const struct reference *r, const char *hub,
               const struct download_options *o, hearth_error *err)
{
    char base[1024], url[HUB_URL_BYTES];
    struct http_answer a;
    struct reading reading = { .o = o, .most = HUB_MOST_BYTES };
    bool hf = r->kind == REFERENCE_HF, ok;
    *out = (struct hub_set){ 0 };
    if (r->kind == REFERENCE_URL)
        return hub_of_url(out, r, err);
    int n = snprintf(base, sizeof base, "%s", hub ? hub : hf ? hf_hub : ollama_hub);
    if (n >= (int)sizeof base)
        return fail(err, HEARTH_ERR_USAGE, "--hub has %d bytes; at most %zu are taken", n, sizeof base - 1);
    while (n > 0 && base[n - 1] == '/')
        base[--n] = 0;
    snprintf(url, sizeof url, hf ? "%s/api/models/%s/%s/tree/main?recursive=1" : "%s/v2/%s/%s/manifests/%s", base,
             r->owner, r->name, r->which);
    if (hf)
        ok = list_hf(out, http, r, base, url, &reading, err);
    else
        ok = ask(&reading, http, url, "application/vnd.docker.distribution.manifest.v2+json", NULL, &a, err)
          && hub_read_ollama(out, r, base, buf_str(&reading.body), err);
    buf_free(&reading.body);
    return ok || err_context(err, "%.170s", r->text);
}

bool pull_head(struct buf *out, uint64_t *total, struct http_client *http, const struct hub_file *f, size_t most,
               const struct download_options *o, hearth_error *err)
{
    char range[32];
    uint64_t first = 0, last = 0;
    struct http_answer a;
    struct reading r = { .o = o, .most = most, .is_head = true };
    snprintf(range, sizeof range, "0-%zu", most - 1);
    bool ok = ask(&r, http, f->url, "*/*", range, &a, err);
    *total = f->bytes;
    if (ok && a.status == 206 && (!http_content_range(a.content_range, &first, &last, total) || first != 0))
        ok = fail(err, HEARTH_ERR_FORMAT, "the server sent another part of %s than its beginning", f->name);
    else if (ok && a.status == 200)
        *total = a.n_content;
    if (ok && (*total == UINT64_MAX || (f->bytes != UINT64_MAX && *total != f->bytes)))
        ok = fail(err, HEARTH_ERR_FORMAT, "the server does not say how long %s is, or says something else than the "
                  "hub's list", f->name);
    if (ok)
        *out = r.body;
    else
        buf_free(&r.body);
    return ok;
}
