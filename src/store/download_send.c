/* download_send.c: a request that may be sent elsewhere, and what refusals mean. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/env.h"
#include "store/download.h"
#include "store/download_wait.h"

enum { MOST_REDIRECTS = 5 };

bool download_may_follow(const struct http_place *first, const struct http_place *to, hearth_error *err)
{
    if (!to->is_tls && !(to->is_here && first->is_here))
        return fail(err, HEARTH_ERR_FORMAT, "%.150s points to %.150s over http, where others can change what comes; "
                    "this is not followed", first->name, to->name);
    if (to->is_here && !first->is_here)
        return fail(err, HEARTH_ERR_FORMAT, "%.150s points to this machine (%.150s); this is not followed", first->name,
                    to->name);
    return true;
}

static bool same_origin(const struct http_place *a, const struct http_place *b)
{
    return a->is_tls == b->is_tls && strcmp(a->name, b->name) == 0;
}

/* Through a proxy every address is the proxy's, which is often inside. */
static bool has_proxy(void) { return env_system("https_proxy") || env_system("all_proxy"); }

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool download_send(struct http_client *http, const char *url, const char *key, struct http_request *r,
                   struct http_answer *answer, hearth_error *err)
{
    struct http_place first, at;
    char to[HTTP_REDIRECT_BYTES];
    if (!http_place_of_redirect(url, &first, err))
        return false;
    if (!first.is_tls && !first.is_here)
        return fail(err, HEARTH_ERR_USAGE, "%s: models are fetched over https; http is for servers of this machine",
                    first.name);
    at = first;
    r->url = url;
    r->key = key;
    r->any_query = true;
    r->no_private = false;
    for (int i = 0;; i++) {
        if (!http_send(http, r, answer, err))
            return false;
        if (!is_redirect(answer->status))
            return true;
        if (i == MOST_REDIRECTS)
            return fail(err, HEARTH_ERR_FORMAT, "%s: after %d redirects there is still no answer; they go in a circle, "
                        "or the address is wrong", first.name, MOST_REDIRECTS);
        if (!answer->redirect[0])
            return fail(err, HEARTH_ERR_FORMAT, "%s answered %d and does not say where it points to", at.name,
                        answer->status);
        bool inside = answer->is_private;
        strcpy(to, answer->redirect);
        if (!http_place_of_redirect(to, &at, err))
            return err_context(err, "a redirect of %.150s", first.name);
        if (!download_may_follow(&first, &at, err))
            return false;
        if (!same_origin(&first, &at))
            r->key = NULL; /* and it stays away from whatever comes after */
        r->url = to;
        r->no_private = r->no_private || (!inside && !first.is_here && !has_proxy());
    }
}

bool download_refused(const struct http_answer *a, const char *place, const char *said, hearth_error *err)
{
    const char *colon = said[0] ? ": " : "";
    bool again = a->status == 408 || a->status == 429 || a->status >= 500;
    if (a->status == 401 || a->status == 403)
        fail(err, HEARTH_ERR_USAGE, "%.150s answered %d%s%.150s; the model is private, or its terms are to be agreed "
             "to there first, or it does not exist; a token goes into a file (--token-file)", place, a->status, colon,
             said);
    else if (a->status == 404 || a->status == 410)
        fail(err, HEARTH_ERR_USAGE, "%.150s answered %d%s%.150s; there is no such model; check its name", place,
             a->status, colon, said);
    else
        fail(err, again ? HEARTH_ERR_IO : HEARTH_ERR_FORMAT, "%.150s answered %d%s%.150s; %s", place, a->status, colon,
             said, again ? "that is the server's fault, or it is asked too often; try again later"
                         : "is the address right?");
    return again;
}

bool download_wait(int ms, bool (*stop)(void *arg), void *arg)
{
    static const struct timespec moment = { .tv_nsec = 20000000 };
    for (int64_t start = clock_ns(); clock_ms_since(start) < ms; nanosleep(&moment, NULL))
        if (stop && stop(arg))
            return false;
    return !(stop && stop(arg));
}
