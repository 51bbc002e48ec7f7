/* engine.c: the engine thread, which gives each model a step in turn, and the queues before it. */
#include "engine/engine.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/machine.h"
#include "engine/disk.h"
#include "engine/lane.h"
#include "hearth/wakes.h"

void queue_push(struct stream_queue *q, struct hearth_stream *s)
{
    s->next = NULL;
    if (q->last)
        q->last->next = s;
    else
        q->first = s;
    q->last = s;
    q->n++;
}

/* Take out what `link` points to, the one behind `before` (NULL: the first). */
static struct hearth_stream *queue_take(struct stream_queue *q, struct hearth_stream *before)
{
    struct hearth_stream *s = before ? before->next : q->first;
    if (before)
        before->next = s->next;
    else
        q->first = s->next;
    if (q->last == s)
        q->last = before;
    q->n--;
    return s;
}

struct hearth_stream *queue_pop(struct stream_queue *q, struct fair *turns, const struct hearth_model *model)
{
    uint64_t owners[ENGINE_QUEUE_MAX];
    struct hearth_stream *before[ENGINE_QUEUE_MAX], *last = NULL;
    int n = 0;
    for (struct hearth_stream *s = q->first; s; last = s, s = s->next)
        if (!model || s->model == model) {
            owners[n] = s->request.owner;
            before[n++] = last;
        }
    if (n == 0)
        return NULL;
    int i = fair_pick(turns, owners, n);
    fair_served(turns, owners[i]);
    return queue_take(q, before[i]);
}

void engine_waits(struct hearth_engine *e, const struct hearth_stream *s)
{
    e->n_waiting++;
    e->n_waiting_tokens += s->prompt.n;
}

void engine_begins(struct hearth_engine *e, const struct hearth_stream *s)
{
    e->n_waiting--;
    e->n_waiting_tokens -= s->prompt.n;
}

void engine_poke(struct hearth_engine *e)
{
    lock_take(&e->lock);
    e->pokes++;
    lock_wake_all(&e->lock);
    lock_release(&e->lock);
}

/* ---- requests that end before they begin ---- */

static void take_cancelled(struct stream_queue *q, struct hearth_stream **chain)
{
    struct hearth_stream *before = NULL, *s = q->first;
    while (s) {
        struct hearth_stream *next = s->next;
        if (atomic_load(&s->cancelled)) {
            queue_take(q, before);
            s->next = *chain;
            *chain = s;
        } else {
            before = s;
        }
        s = next;
    }
}

static void end_unbegun(struct hearth_stream *chain, const char *why)
{
    for (struct hearth_stream *s = chain, *next; s; s = next) {
        bool stopped = atomic_load(&s->stopped);
        hearth_event end = { .type = HEARTH_EVENT_END, .text = "",
                             .reason = stopped ? HEARTH_END_LENGTH : HEARTH_END_CANCELLED };
        next = s->next;
        s->receipt.reason = end.reason;
        s->receipt.n_prompt_tokens = (int)s->prompt.n;
        s->receipt.total_ms = clock_ms_since(s->submit_ns);
        snprintf(s->receipt.finish_detail, sizeof s->receipt.finish_detail, "%s",
                 stopped ? "stopped before it began" : why);
        stream_end(s, &end);
        if (stream_wake(s))
            engine_ring(s->model->engine);
    }
}

static struct hearth_stream *joined(struct hearth_stream *a, struct hearth_stream *b)
{
    struct hearth_stream *last = a;
    while (last && last->next)
        last = last->next;
    if (!last)
        return b;
    last->next = b;
    return a;
}

/* Those that wait and are not wanted any more, as a chain; their END is sent. */
static struct hearth_stream *sweep(struct hearth_engine *e)
{
    struct hearth_stream *raw = NULL, *chain = NULL;
    lock_take(&e->lock);
    take_cancelled(&e->raw, &raw);
    take_cancelled(&e->inbox, &chain);
    for (int i = 0; i < e->n_lanes; i++) {
        struct hearth_stream *s = e->lanes[i]->next;
        if (s && atomic_load(&s->cancelled)) {
            s->next = chain;
            chain = s;
            e->lanes[i]->next = NULL;
        }
    }
    for (struct hearth_stream *s = chain; s; s = s->next)
        engine_begins(e, s);
    for (struct hearth_stream *s = raw; s; s = s->next)
        e->raw_bytes -= s->text_bytes;
    chain = joined(raw, chain);
    lock_release(&e->lock);
    end_unbegun(chain, "cancelled before it began");
    return chain;
}

/* ---- the thread ---- */

/* The model may go with the last of them, so this comes after everything that looks at it. */
static void let_go(struct hearth_stream *chain)
{
    while (chain) {
        struct hearth_stream *next = chain->next;
        if (stream_wake(chain))
            engine_ring(chain->model->engine);
        stream_unref(chain);
        chain = next;
    }
}

/* Wait until something changed since `seen` pokes; then the models that there are to step on. -1: stop. */
static int wait_for_work(struct hearth_engine *e, bool idle, unsigned *seen, struct lane *lanes[ENGINE_MAX_MODELS])
{
    lock_take(&e->lock);
    while (!e->stop && ((idle && e->pokes == *seen) || !e->n_lanes || e->n_leaving)) {
        idle = idle && e->pokes == *seen;
        if (!e->n_lanes) /* there is nothing that could be waiting */
            atomic_store(&e->n_seen_pokes, e->pokes);
        double ms = e->sleep_look_ns ? -clock_ms_since(e->sleep_look_ns) : 0;
        if (!e->sleep_look_ns || !e->n_lanes || e->n_leaving)
            lock_wait(&e->lock);
        else if (ms <= 0 || !lock_wait_ms(&e->lock, ms))
            idle = false;
    }
    *seen = e->pokes;
    atomic_store(&e->n_seen_pokes, *seen);
    int n = e->stop ? -1 : e->n_lanes;
    e->stepping = n > 0;
    for (int i = 0; i < n; i++)
        lanes[i] = e->lanes[i];
    lock_release(&e->lock);
    return n;
}

/* A step of each model. Whoever watches an answer waits for the steps of all models, so each is told what the others
 * are answering, by then. */
static bool step_all(struct lane **lanes, int n, struct hearth_stream **finished)
{
    int answers[ENGINE_MAX_MODELS], all = 0;
    bool ran = false;
    for (int i = 0; i < n; i++)
        all += answers[i] = lane_answers(lanes[i]);
    for (int i = 0; i < n; i++) {
        if (atomic_load(&lanes[i]->model->asleep))
            continue;
        lanes[i]->n_lanes = n;
        lanes[i]->n_other_answers = all - answers[i];
        ran |= lane_step(lanes[i]);
        *finished = joined(lane_take_finished(lanes[i]), *finished);
        all = lanes[i]->n_other_answers + lane_answers(lanes[i]);
    }
    return ran;
}

/* The longest round of late: one that stays alone is forgotten after some hundred others. */
static void note_round(struct hearth_engine *e, double ms)
{
    enum { ROUNDS_REMEMBERED = 256 };
    double was = atomic_load_explicit(&e->longest_ms, memory_order_relaxed);
    atomic_store_explicit(&e->longest_ms, ms > was ? ms : was + (ms - was) / ROUNDS_REMEMBERED, memory_order_relaxed);
    atomic_fetch_add_explicit(&e->n_rounds, 1, memory_order_relaxed);
}

static void engine_main(void *arg)
{
    struct hearth_engine *e = arg;
    struct lane *lanes[ENGINE_MAX_MODELS];
    unsigned seen = 0;
    bool idle = false;
    pressure_watch_me(&e->pressure);
    for (int n; (n = wait_for_work(e, idle, &seen, lanes)) >= 0;) {
        int64_t start = clock_ns();
        atomic_store(&e->working, true);
        struct hearth_stream *finished = sweep(e);
        e->sleep_look_ns = sleep_look(e, lanes, n);
        bool ran = step_all(lanes, n, &finished);
        if (ran)
            note_round(e, clock_ms_since(start));
        give_look(e, lanes, n);
        idle = !ran && !finished; /* a slot that became free may have somebody waiting for it */
        if (idle)
            idle_look(e, lanes, n, seen);
        lock_take(&e->lock);
        for (struct hearth_stream *s = finished; s; s = s->next)
            e->n_admitted--;
        e->stepping = false; /* from here on a model may be detached */
        lock_wake_all(&e->lock);
        lock_release(&e->lock);
        let_go(finished);
        atomic_store(&e->working, false);
    }
}

/* ---- life ---- */

static void wake(void *engine) { engine_poke(engine); }

/* Its list of files is planned with what requests bring, once for all models. */
static bool open_disk(struct hearth_engine *e, const hearth_engine_options *o, hearth_error *err)
{
    if (!o->cache_dir)
        return true;
    e->cache_least_tokens = o->cache_least_tokens ? o->cache_least_tokens : CACHE_LEAST_TOKENS;
    e->cache_close_ms = o->cache_close_ms ? o->cache_close_ms : CACHE_CLOSE_MS;
    e->request_bytes += disk_memory_bytes();
    e->disk = disk_open(&(struct disk_options){ .path = o->cache_dir,
                                                .most_bytes = o->cache_disk_bytes ? o->cache_disk_bytes
                                                                                  : CACHE_DISK_BYTES,
                                                .note = o->cache_note,
                                                .note_arg = o->cache_note_arg,
                                                .wake = wake,
                                                .wake_arg = e },
                        err);
    return e->disk != NULL;
}

bool hearth_engine_disk_cache(hearth_engine *e, hearth_disk_cache *out)
{
    *out = (hearth_disk_cache){ 0 };
    if (e->disk)
        disk_look(e->disk, out);
    return e->disk != NULL;
}

hearth_engine *hearth_engine_create(const hearth_engine_options *options, hearth_error *err)
{
    static const hearth_engine_options none;
    const hearth_engine_options *o = options ? options : &none;
    err_clear(err);
    const struct kernels *k = o->isa ? kernels_named(o->isa, err) : kernels_get(err);
    if (!k)
        return NULL;
    if (o->n_threads < 0 || o->n_threads > 1024 || o->n_threads_prefill < 0 || o->n_threads_prefill > 1024) {
        fail(err, HEARTH_ERR_USAGE, "n_threads %d or n_threads_prefill %d is out of range (0 to 1024)", o->n_threads,
             o->n_threads_prefill);
        return NULL;
    }
    if (o->n_seqs < 0 || o->n_seqs > SCHED_MAX_SEQS || o->n_step_tokens < 0 || o->n_step_tokens > 1 << 16
        || o->step_ms < 0 || o->step_ms > 60000) {
        fail(err, HEARTH_ERR_USAGE,
             "n_seqs %d (0 to %d), n_step_tokens %d (0 to 65536) or step_ms %d (0 to 60000) is out of range", o->n_seqs,
             SCHED_MAX_SEQS, o->n_step_tokens, o->step_ms);
        return NULL;
    }
    if (o->cache_least_tokens < 0 || o->cache_close_ms < 0 || o->cache_close_ms > 3600000) {
        fail(err, HEARTH_ERR_USAGE,
             "cache_least_tokens %d (0 or more) or cache_close_ms %d (0 to 3600000) is out of range",
             o->cache_least_tokens, o->cache_close_ms);
        return NULL;
    }
    struct hearth_engine *e = mem_alloc(sizeof *e);
    if (!e || !lock_init(&e->lock) || !lock_init(&e->ring_lock)) {
        mem_free(e);
        fail_memory(err, "the engine");
        return NULL;
    }
    pressure_open(&e->pressure, "");
    struct machine m;
    machine_read(&m);
    e->kernels = k;
    e->n_threads = o->n_threads ? o->n_threads : machine_default_threads(&m);
    e->n_seqs = o->n_seqs ? o->n_seqs : 1;
    e->n_step_tokens = max_int(o->n_step_tokens ? o->n_step_tokens : ENGINE_STEP_TOKENS, e->n_seqs);
    e->step_ms = o->step_ms ? o->step_ms : PACE_TARGET_MS;
    e->budget_bytes = o->budget_bytes;
    e->request_bytes = o->request_bytes;
    e->program_bytes = o->program_bytes;
    e->measures_reads = o->measure_reads;
    e->may_take_turns = o->take_turns;
    e->keep_awake_ns = (int64_t)max_int(o->keep_awake_ms, 0) * 1000000;
    e->n_threads_prefill = o->n_threads_prefill ? o->n_threads_prefill : e->n_threads;
    e->pool = pool_create(max_int(e->n_threads, e->n_threads_prefill), err);
    if (e->pool && open_disk(e, o, err) && thread_start(&e->helper, "hearth-prepare", prepare_main, e, err)
        && thread_start(&e->thread, "hearth-engine", engine_main, e, err))
        return e;
    hearth_engine_destroy(e);
    return NULL;
}

/* What still runs or waits when both threads have ended: its streams get their END, and are let go of. */
static void end_all(struct hearth_engine *e)
{
    static const char stopped[] = "the engine was stopped";
    struct hearth_stream *chain = NULL, *waiting = NULL, *s;
    for (int i = 0; i < e->n_lanes; i++) {
        struct lane *l = e->lanes[i];
        for (int k = 0; k < e->n_seqs; k++)
            if (l->seqs[k].stream)
                seq_end(&l->seqs[k], HEARTH_END_CANCELLED, stopped, NULL);
        chain = joined(lane_take_finished(l), chain);
        if (l->next) {
            l->next->next = waiting;
            waiting = l->next;
            l->next = NULL;
        }
    }
    while ((s = queue_pop(&e->inbox, &e->inbox_turns, NULL))) {
        s->next = waiting;
        waiting = s;
    }
    end_unbegun(waiting, stopped);
    let_go(joined(waiting, chain));
}

void hearth_engine_destroy(hearth_engine *e)
{
    if (!e)
        return;
    lock_take(&e->lock);
    e->stop = true;
    lock_wake_all(&e->lock);
    lock_release(&e->lock);
    thread_join(&e->helper);
    thread_join(&e->thread);
    disk_stop_reading(e->disk); /* what is being loaded ends where it is */
    end_all(e);
    disk_stop(e->disk); /* models that went with their streams had pages to write */
    disk_close(e->disk);
    pool_destroy(e->pool);
    pressure_close(&e->pressure);
    lock_destroy(&e->lock);
    lock_destroy(&e->ring_lock);
    mem_free(e);
}

hearth_stream *hearth_submit(hearth_model *model, const hearth_request *request, hearth_error *err)
{
    err_clear(err);
    struct hearth_engine *e = model->engine;
    struct hearth_stream *s = stream_create(model, request, err);
    if (!s)
        return NULL;
    hearth_receipt *r = &s->receipt;
    r->arithmetic_revision = ARITHMETIC_REVISION;
    r->n_threads = e->n_threads;
    r->n_threads_prefill = e->n_threads_prefill;
    snprintf(r->isa, sizeof r->isa, "%s", e->kernels->isa);
    lock_take(&e->lock);
    bool full = e->n_admitted >= ENGINE_QUEUE_MAX;
    if (!full) {
        atomic_fetch_add(&s->n_refs, 1);
        e->n_admitted++;
        e->raw_bytes += s->text_bytes;
        queue_push(&e->raw, s);
        lock_wake_all(&e->lock);
    }
    lock_release(&e->lock);
    if (!full)
        return s;
    stream_unref(s);
    fail(err, HEARTH_ERR_BUSY, "%d requests are waiting or running, the most this engine takes; try again later",
         ENGINE_QUEUE_MAX);
    return NULL;
}

void hearth_engine_keep_books(hearth_engine *e, bool (*take)(void *arg, uint64_t bytes),
                              void (*give)(void *arg, uint64_t bytes), void *arg)
{
    lock_take(&e->lock);
    while (e->booking)
        lock_wait(&e->lock);
    e->take = take;
    e->give = give;
    e->books = arg;
    lock_release(&e->lock);
}

void hearth_engine_on_wakes(hearth_engine *e, void (*ring)(void *arg), void *arg)
{
    lock_take(&e->ring_lock);
    e->ring = ring;
    e->ring_arg = arg;
    lock_release(&e->ring_lock);
}

void engine_ring(struct hearth_engine *e)
{
    lock_take(&e->ring_lock);
    if (e->ring)
        e->ring(e->ring_arg);
    lock_release(&e->ring_lock);
}

void hearth_engine_bound_queue(hearth_engine *e, uint64_t n_tokens)
{
    lock_take(&e->lock);
    e->n_queue_tokens = n_tokens;
    lock_release(&e->lock);
}

void hearth_engine_pulse(const hearth_engine *e, hearth_pulse *out)
{
    *out = (hearth_pulse){ .n_beats = atomic_load(&e->n_rounds) + (uint64_t)pool_jobs(e->pool)
                                      + atomic_load(&e->n_seen_pokes),
                           .busy = atomic_load(&e->working) || atomic_load(&e->pokes) != atomic_load(&e->n_seen_pokes),
                           .longest_ms = atomic_load(&e->longest_ms) };
}

void hearth_engine_look(hearth_engine *e, hearth_engine_queue *out)
{
    lock_take(&e->lock);
    *out = (hearth_engine_queue){ .n_raw = e->raw.n,
                                  .raw_bytes = e->raw_bytes,
                                  .n_waiting = e->n_waiting,
                                  .n_waiting_tokens = e->n_waiting_tokens,
                                  .n_refused = e->n_refused };
    lock_release(&e->lock);
}
