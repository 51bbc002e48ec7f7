/* wake.c: a model that is told to wake or to sleep by its path, and how far waking is, as a stream of events for
 * whoever asks for one (Accept: text/event-stream). */
#include <string.h>

#include "server/api/ask.h"
#include "server/api/named.h"
#include "server/core.h"

static const int64_t EVERY_NS = 250000000; /* between two events */
static const double STALL_S = 5;           /* so long without a byte is said to be a stall */

bool wake_tell(struct server *s, int tells, const char *tail, const struct view **v, struct problem *p)
{
    struct str name = { tail, strcspn(tail, "/") };
    const struct view *found = named_in_url(s->views, name);
    hearth_model_now now;
    if (!found)
        return named_refuse(s->views, name, p);
    *v = found;
    hearth_model *model = s->served[found - s->views].model;
    hearth_model_look(model, &now);
    if (tells == TELLS_SLEEP && now.pinned)
        return refuse(p, PROBLEM_model_pinned, NULL, "'%.100s' never sleeps (--pin, --preload, --lock)",
                      found->model_id);
    if (tells == TELLS_SLEEP)
        hearth_model_sleep(model);
    else
        hearth_model_wake(model);
    return true;
}

void wake_begin(struct exchange *x)
{
    hearth_model_now now;
    hearth_model_look(x->server->served[x->model].model, &now);
    x->waking = (struct waking){ .start_ns = clock_ns(), .came_ns = clock_ns(), .n_wakes = now.n_wakes };
    x->begun = true;
    atomic_store(&x->ping_ns, EVERY_NS);
    atomic_store(&x->last_write_ns, clock_ns());
    atomic_store(&x->ping_due, true);
    atomic_store(&x->phase, X_RUNNING);
    watch_look(x->server);
}

/* The rate is the mean since the first look at which it was being read. */
static json_t *rate_and_left(struct waking *w, const hearth_readahead *at, int64_t now)
{
    if (!w->read_ns) {
        w->read_ns = now;
        w->first_bytes = at->read_bytes;
    }
    double s = (double)(now - w->read_ns) / 1e9;
    double came = (double)(at->read_bytes - min_size(at->read_bytes, w->first_bytes));
    double rate = s > 0 ? came / s : 0, left = (double)(at->file_bytes - min_size(at->file_bytes, at->read_bytes));
    return json_pack("{s:f, s:o}", "bytes_per_s", rate, "left_s", rate > 0 ? json_real(left / rate) : json_null());
}

/* How it is now; *last: nothing more is to come. NULL: memory is out. */
static json_t *look(struct exchange *x, bool *last)
{
    struct waking *w = &x->waking;
    hearth_model *model = x->server->served[x->model].model;
    hearth_model_now m;
    hearth_readahead at;
    int64_t now = clock_ns();
    hearth_model_look(model, &m);
    hearth_model_readahead(model, &at);
    bool again = m.asleep && m.n_wakes > w->n_wakes;
    const char *phase = again ? "asleep" : m.asleep ? "waiting" : at.reading ? "reading" : "ready";
    *last = again || (!m.asleep && !at.reading);
    if (at.read_bytes != w->n_read || m.asleep)
        w->came_ns = now;
    w->n_read = at.read_bytes;
    double still_s = (double)(now - w->came_ns) / 1e9;
    json_t *o = json_pack("{s:s, s:s, s:s, s:f, s:I, s:I, s:f, s:b}", "object", "hearth.load", "model",
                          served_view(x)->model_id, "phase", phase, "elapsed_s", (double)(now - w->start_ns) / 1e9,
                          "read_bytes", (json_int_t)at.read_bytes, "total_bytes", (json_int_t)at.file_bytes, "still_s",
                          still_s, "stalled", still_s >= STALL_S);
    json_t *rate = m.asleep ? json_object() : rate_and_left(w, &at, now);
    json_t *why = again ? json_pack("{s:s}", "why_asleep", hearth_sleep_name(m.why_asleep)) : json_object();
    bool ok = o && rate && why && json_object_update(o, rate) == 0 && json_object_update(o, why) == 0;
    json_decref(rate);
    json_decref(why);
    if (ok)
        return o;
    json_decref(o);
    return NULL;
}

static void put_event(struct exchange *x, json_t *o)
{
    buf_puts(&x->out, "data: ");
    if (!json_put(&x->out, o))
        x->out.failed = true;
    buf_puts(&x->out, "\n\n");
}

bool wake_pump(struct exchange *x)
{
    if (x->ended)
        return false;
    if (atomic_load(&x->stopping) || atomic_load(&x->cancelled) || atomic_load(&x->late)) {
        refuse(&x->problem, atomic_load(&x->stopping) ? PROBLEM_shutting_down : PROBLEM_request_cancelled, NULL,
               "this is no longer watched; the model wakes all the same");
        put_event(x, problem_to_json(&x->problem));
        x->ended = true;
        return true;
    }
    if (!atomic_exchange(&x->ping_due, false))
        return false;
    bool last = false;
    put_event(x, look(x, &last));
    x->ended = last;
    return true;
}
