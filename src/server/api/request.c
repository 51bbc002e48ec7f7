/* request.c: GET and DELETE /hearth/requests/ID: how far a request is, and its end. DELETE /hearth/requests: the end of
 * all. */
#include "server/api/endpoints.h"

static bool get(const struct view *v, const struct load_figures *now, const char *tail, struct buf *out,
                struct problem *p)
{
    const struct request_state *r = &now->request;
    (void)v;
    (void)tail;
    return json_put(out, json_pack("{s:s, s:s, s:f, s:i, s:i, s:b}", "id", r->id, "state", r->state, "age_s", r->age_s,
                                   "n_choices", r->n_choices, "n_output_tokens", r->n_tokens, "stream", r->stream))
        || ask_no_memory(p);
}

static bool cancel(const struct view *v, const struct load_figures *now, const char *tail, struct buf *out,
                   struct problem *p)
{
    (void)v;
    (void)tail;
    return json_put(out, json_pack("{s:s, s:b}", "id", now->request.id, "cancelled", 1)) || ask_no_memory(p);
}

static bool cancel_all(const struct view *v, const struct load_figures *now, const char *tail, struct buf *out,
                       struct problem *p)
{
    (void)v;
    (void)tail;
    return json_put(out, json_pack("{s:i}", "n_cancelled", now->n_ended)) || ask_no_memory(p);
}

const struct endpoint endpoint_request = { .get = get, .of_request = true },
                      endpoint_cancel = { .get = cancel, .of_request = true, .cancels = true },
                      endpoint_cancel_all = { .get = cancel_all, .cancels = true };
