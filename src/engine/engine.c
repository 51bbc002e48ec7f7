/* engine.c: one turn of the engine thread. Only this thread touches sequences, KV pages and
 * the workspace, so nothing inside a step takes a lock or allocates. */
#include "engine/engine.h"

#include <assert.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/machine.h"

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

struct hearth_stream *queue_pop(struct stream_queue *q)
{
    struct hearth_stream *s = q->first;
    if (!s)
        return NULL;
    q->first = s->next;
    if (!q->first)
        q->last = NULL;
    q->n--;
    return s;
}

void engine_poke(struct hearth_engine *e)
{
    lock_take(&e->lock);
    e->pokes++;
    lock_wake_all(&e->lock);
    lock_release(&e->lock);
}

/* ---- before a step ---- */

static int count_free(const struct hearth_engine *e)
{
    int n = 0;
    for (int i = 0; i < e->n_seqs; i++)
        n += !e->seqs[i].stream;
    return n;
}

static struct seq *free_slot(struct hearth_engine *e)
{
    int i = 0;
    while (e->seqs[i].stream)
        i++;
    return &e->seqs[i];
}

/* Start what fits into free slots. Cancelled requests end here without running. */
static void inbox_drain(struct hearth_engine *e)
{
    for (int n = count_free(e); n > 0; n--) {
        lock_take(&e->lock);
        struct hearth_stream *stream = queue_pop(&e->inbox);
        lock_release(&e->lock);
        if (!stream)
            return;
        seq_begin(free_slot(e), stream, ++e->n_begun);
    }
}

static void end_cancelled(struct hearth_engine *e)
{
    for (int i = 0; i < e->n_seqs; i++)
        if (e->seqs[i].stream && atomic_load(&e->seqs[i].stream->cancelled))
            seq_end(&e->seqs[i], HEARTH_END_CANCELLED, "cancelled", NULL);
}

static enum seq_state state_of(struct seq *s)
{
    if (!s->stream)
        return SEQ_FREE;
    if (!stream_has_room(s->stream))
        return SEQ_PAUSED;
    return s->n_done < s->n_prompt ? SEQ_PREFILL : SEQ_DECODE;
}

/* Scoring sends an event for each token from score_from on, so chunks of those are held to what the ring takes
 * (stream_has_room() leaves 2 * STREAM_EVENT_MAX_BYTES; an event without text is at most 48 bytes and its
 * alternatives). What comes before is an ordinary prompt. */
enum { SCORE_CHUNK_TOKENS = 64 };
static_assert(SCORE_CHUNK_TOKENS * (48 + MAX_ALTERNATIVES * sizeof(hearth_alternative)) + 64
                  <= 2 * STREAM_EVENT_MAX_BYTES,
              "a chunk's events and the END without text");

/* Most prompt tokens of it in the next step; 0: as many as there is room for. */
static int chunk_of(const struct seq *s)
{
    const hearth_request *r = &s->stream->request;
    if (!r->score)
        return r->n_chunk_tokens;
    int unscored = (int)r->score_from - 1 - s->n_done;
    int most = unscored > 0 ? unscored : SCORE_CHUNK_TOKENS;
    return r->n_chunk_tokens > 0 ? min_int(r->n_chunk_tokens, most) : most;
}

/* Who decodes says in turn what may come next, each knowing the columns that the step has already. A prompt in the
 * step leaves no room: its columns cost as much as a draft's, and are not in vain. */
static void draft(struct hearth_engine *e, struct sched_seq *view)
{
    int n_columns = 0;
    bool prompts = false;
    for (int i = 0; i < e->n_seqs; i++) {
        n_columns += view[i].state == SEQ_DECODE;
        prompts = prompts || view[i].state == SEQ_PREFILL;
    }
    e->n_steps++;
    for (int i = 0; i < e->n_seqs; i++) {
        int turn = (int)((e->n_steps + (unsigned)i) % (unsigned)e->n_seqs);
        struct seq *s = &e->seqs[turn];
        if (view[turn].state != SEQ_DECODE || (prompts && s->stream->request.speculate == HEARTH_SPECULATE_AUTO))
            continue;
        view[turn].n_draft = seq_draft(s, n_columns);
        n_columns += view[turn].n_draft;
    }
}

static void plan_step(struct hearth_engine *e, struct plan *plan)
{
    struct sched_seq view[SCHED_MAX_SEQS];
    for (int i = 0; i < e->n_seqs; i++) {
        struct seq *s = &e->seqs[i];
        if (state_of(s) == SEQ_PREFILL)
            seq_join(s);
        view[i] =
            (struct sched_seq){ .state = state_of(s), .n_prompt = s->n_prompt, .n_done = s->n_done, .order = s->order };
        if (s->stream)
            view[i].n_chunk = chunk_of(s);
    }
    draft(e, view);
    int max_columns = e->model->ws.max_tokens;
    sched_plan(plan, view, e->n_seqs, min_int(e->n_step_tokens, max_columns), max_columns);
}

static bool is_decode(const struct hearth_engine *e, const struct slice *slice)
{
    return slice->first >= e->seqs[slice->seq].n_prompt;
}

/* Pages for the slice; where there are none for a draft, it goes without. */
static bool reserve(struct hearth_engine *e, struct slice *slice)
{
    struct kv_pool *pool = &e->model->kv;
    struct kv_seq *kv = &e->seqs[slice->seq].kv;
    if (kv_seq_reserve(pool, kv, slice->first + slice->n))
        return true;
    if (!is_decode(e, slice))
        return false;
    slice->n = 1;
    return kv_seq_reserve(pool, kv, slice->first + 1);
}

/* Rows of the step. A slice whose pages cannot be had ends its sequence. */
static void batch_fill(struct hearth_engine *e, struct plan *plan)
{
    struct batch *b = &e->batch;
    int kept = 0;
    *b = (struct batch){ .tokens = e->batch_tokens, .slices = e->slices };
    for (int i = 0; i < plan->n_slices; i++) {
        struct slice slice = plan->slice[i];
        struct seq *s = &e->seqs[slice.seq];
        if (!reserve(e, &slice)) {
            hearth_error err = { 0 };
            fail(&err, HEARTH_ERR_MEMORY,
                 "the KV cache is full: %u pages of %d tokens are in use; raise --ctx or send less at once",
                 e->model->kv.n_pages, KV_PAGE_TOKENS);
            seq_end(s, HEARTH_END_ERROR, "KV cache full", &err);
            continue;
        }
        for (int t = 0; t < slice.n; t++)
            e->batch_tokens[b->n_tokens + t] = s->history[slice.first + t];
        e->slices[kept] = (struct batch_slice){ .first_row = b->n_tokens,
                                                .n_tokens = slice.n,
                                                .first_pos = slice.first,
                                                .kv = kv_seq_view(&e->model->kv, &s->kv) };
        b->n_tokens += slice.n;
        plan->slice[kept++] = slice;
    }
    b->n_slices = plan->n_slices = kept;
}

/* ---- after the forward pass ---- */

/* A row of the batch whose logits are wanted, and for what. */
struct wanted {
    int row, slice, seq;
    int score_index; /* prompt token it predicts; -1: sample */
};

static int list_wanted(const struct hearth_engine *e, const struct plan *plan, struct wanted *w)
{
    int n = 0;
    for (int i = 0; i < plan->n_slices; i++) {
        const struct slice *slice = &plan->slice[i];
        const struct seq *s = &e->seqs[slice->seq];
        int first_row = e->slices[i].first_row;
        if (s->stream->request.score) {
            for (int t = 0; t < slice->n; t++)
                if (slice->first + t + 1 < s->n_prompt
                    && (size_t)(slice->first + t + 1) >= s->stream->request.score_from)
                    w[n++] = (struct wanted){ first_row + t, i, slice->seq, slice->first + t + 1 };
        } else if (slice->last) {
            for (int t = is_decode(e, slice) ? 0 : slice->n - 1; t < slice->n; t++)
                w[n++] = (struct wanted){ first_row + t, i, slice->seq, -1 };
        }
    }
    return n;
}

/* NaN or Inf: run the slice again with the probe, up to this row, to name layer and tensor; then the step once more,
 * whose other rows are still wanted. Writes the same KV again, so other sequences are not disturbed. */
static void end_not_finite(struct hearth_engine *e, const struct wanted *w)
{
    struct seq *s = &e->seqs[w->seq];
    struct probe probe = { .layer = -1 };
    hearth_error err = { 0 };
    const struct model *m = &e->model->file->model;
    struct batch_slice slice = e->slices[w->slice];
    struct batch alone = { .tokens = e->batch_tokens + slice.first_row, .slices = &slice, .n_slices = 1,
                           .n_tokens = w->row - slice.first_row + 1 };
    slice.n_tokens = alone.n_tokens;
    slice.first_row = 0;
    model_forward(m, e->kernels, e->pool, &e->model->ws, &alone, &probe, NULL);
    model_forward(m, e->kernels, e->pool, &e->model->ws, &e->batch, NULL, NULL);
    if (!probe.name[0])
        snprintf(probe.name, sizeof probe.name, STR_FMT, STR_ARG(m->global[G_OUTPUT].name));
    char layer[32] = "";
    if (probe.layer >= 0)
        snprintf(layer, sizeof layer, "layer %d, ", probe.layer);
    fail(&err, HEARTH_ERR_MODEL,
         "the model computed NaN or Inf at token %d, first after %s%s; the file is damaged or badly quantized: "
         "download it again or use another quantization",
         s->n_total, layer, probe.name);
    seq_end(s, HEARTH_END_ERROR, "NaN or Inf in the logits", &err);
}

/* Returns how many of the group's rows were used: all, or up to and with one that went wrong
 * (then the workspace was run over and the rest needs its logits again). */
static int use_group(struct hearth_engine *e, const struct wanted *w, int n)
{
    struct workspace *ws = &e->model->ws;
    int n_vocab = e->model->file->model.hp.n_vocab;
    for (int i = 0; i < n; i++) {
        struct seq *s = &e->seqs[w[i].seq];
        float *logits = ws->logits + (size_t)i * (size_t)n_vocab;
        if (!seq_wants(s))
            continue; /* ended earlier in this step, or behind a draft that was wrong */
        if (!e->kernels->all_finite(logits, n_vocab)) {
            end_not_finite(e, &w[i]);
            return i + 1;
        }
        if (w[i].score_index >= 0)
            seq_score(s, e->kernels, logits, w[i].score_index);
        else
            seq_verify(s, e->kernels, logits);
    }
    return n;
}

static void use_logits(struct hearth_engine *e, const struct wanted *w, int n)
{
    int rows[SCHED_MAX_SEQS], most = min_int(e->model->ws.max_logit_rows, SCHED_MAX_SEQS);
    for (int at = 0; at < n;) {
        if (!seq_wants(&e->seqs[w[at].seq])) {
            at++;
            continue;
        }
        int group = min_int(n - at, most);
        for (int i = 0; i < group; i++)
            rows[i] = w[at + i].row;
        model_logits(&e->model->file->model, e->kernels, e->pool, &e->model->ws, rows, group,
                     &e->model->observer);
        at += use_group(e, w + at, group);
    }
}

static void advance(struct hearth_engine *e, const struct plan *plan)
{
    for (int i = 0; i < plan->n_slices; i++) {
        struct seq *s = &e->seqs[plan->slice[i].seq];
        bool decode = is_decode(e, &plan->slice[i]);
        s->n_done = plan->slice[i].first + (decode ? 1 : plan->slice[i].n);
        seq_try(s, decode ? plan->slice[i].n - 1 : 0);
        if (!decode)
            s->stream->receipt.n_prefill_chunks++;
    }
}

static void settle(struct hearth_engine *e, const struct plan *plan)
{
    for (int i = 0; i < plan->n_slices; i++) {
        struct seq *s = &e->seqs[plan->slice[i].seq];
        seq_settle(s, &e->model->kv);
        seq_publish(s);
    }
}

/* Scored sequences whose prompt is through. */
static void end_scored(struct hearth_engine *e)
{
    for (int i = 0; i < e->n_seqs; i++) {
        struct seq *s = &e->seqs[i];
        if (s->stream && s->stream->request.score && s->n_done == s->n_prompt)
            seq_end(s, HEARTH_END_LENGTH, "scored", NULL);
    }
}

static void end_damaged(struct hearth_engine *e)
{
    hearth_error err = { 0 };
    fail(&err, HEARTH_ERR_MODEL, "%s was cut short on disk while in use; put the whole file back and load it again",
         e->model->file->name);
    for (int i = 0; i < e->n_seqs; i++)
        if (e->seqs[i].stream)
            seq_end(&e->seqs[i], HEARTH_END_ERROR, "model file truncated while in use", &err);
}

/* Prompts are bound by arithmetic and single tokens by memory, which fewer threads may saturate. */
static int step_threads(const struct hearth_engine *e, const struct plan *plan)
{
    for (int i = 0; i < plan->n_slices; i++)
        if (plan->slice[i].first < e->seqs[plan->slice[i].seq].n_prompt)
            return e->n_threads_prefill;
    return e->n_threads;
}

/* False: nothing could run. */
static bool engine_step(struct hearth_engine *e)
{
    struct plan plan;
    struct wanted wanted[SCHED_MAX_SEQS * SCORE_CHUNK_TOKENS];

    inbox_drain(e);
    end_cancelled(e);
    plan_step(e, &plan);
    batch_fill(e, &plan);
    if (plan.n_tokens == 0 || e->batch.n_tokens == 0)
        return false;
    pool_use(e->pool, step_threads(e, &plan));
    model_forward(&e->model->file->model, e->kernels, e->pool, &e->model->ws, &e->batch, NULL,
                  &e->model->observer);
    advance(e, &plan);
    if (file_damaged(e->model->file)) {
        end_damaged(e);
        return true;
    }
    use_logits(e, wanted, list_wanted(e, &plan, wanted));
    settle(e, &plan);
    end_scored(e);
    return true;
}

/* Streams that ended in this step, as a chain. */
static struct hearth_stream *take_finished(struct hearth_engine *e)
{
    struct hearth_stream *chain = NULL;
    for (int i = 0; i < e->n_seqs; i++) {
        struct hearth_stream *done = e->seqs[i].finished;
        e->seqs[i].finished = NULL;
        if (done) {
            done->next = chain;
            chain = done;
        }
    }
    return chain;
}

/* The model may go with the last of them, so this comes after everything that looks at it. */
static void let_go(struct hearth_stream *chain)
{
    while (chain) {
        struct hearth_stream *next = chain->next;
        stream_unref(chain);
        chain = next;
    }
}

/* Wait until something changed since `seen` polls, then say whether there is a model to step
 * on. False: stop. */
static bool wait_for_work(struct hearth_engine *e, bool idle, unsigned *seen)
{
    lock_take(&e->lock);
    while ((idle && e->pokes == *seen && !e->stop) || (!e->attached && !e->stop)) {
        idle = idle && e->pokes == *seen;
        lock_wait(&e->lock);
    }
    *seen = e->pokes;
    e->stepping = !e->stop;
    bool go = !e->stop;
    lock_release(&e->lock);
    return go;
}

static void engine_main(void *arg)
{
    struct hearth_engine *e = arg;
    unsigned seen = 0;
    bool idle = false;
    while (wait_for_work(e, idle, &seen)) {
        bool ran = engine_step(e);
        struct hearth_stream *finished = take_finished(e);
        idle = !ran && !finished; /* a slot that became free may have somebody waiting for it */
        lock_take(&e->lock);
        for (struct hearth_stream *s = finished; s; s = s->next)
            e->n_admitted--;
        e->stepping = false; /* from here on the model may be detached */
        lock_wake_all(&e->lock);
        lock_release(&e->lock);
        let_go(finished);
    }
}

/* ---- life ---- */

hearth_engine *hearth_engine_create(const hearth_engine_options *options, hearth_error *err)
{
    static const hearth_engine_options none;
    const hearth_engine_options *o = options ? options : &none;
    err_clear(err);
    const struct kernels *k = kernels_get(err);
    if (!k)
        return NULL;
    if (o->n_threads < 0 || o->n_threads > 1024 || o->n_threads_prefill < 0 || o->n_threads_prefill > 1024) {
        fail(err, HEARTH_ERR_USAGE, "n_threads %d or n_threads_prefill %d is out of range (0 to 1024)", o->n_threads,
             o->n_threads_prefill);
        return NULL;
    }
    if (o->n_seqs < 0 || o->n_seqs > SCHED_MAX_SEQS || o->n_step_tokens < 0
        || o->n_step_tokens > 1 << 16) {
        fail(err, HEARTH_ERR_USAGE,
             "n_seqs %d (0 to %d) or n_step_tokens %d (0 to 65536) is out of range", o->n_seqs, SCHED_MAX_SEQS,
             o->n_step_tokens);
        return NULL;
    }
    struct hearth_engine *e = mem_alloc(sizeof *e);
    if (!e || !lock_init(&e->lock)) {
        mem_free(e);
        fail_memory(err, "the engine");
        return NULL;
    }
    struct machine m;
    machine_read(&m);
    e->kernels = k;
    e->n_threads = o->n_threads ? o->n_threads : machine_default_threads(&m);
    e->n_seqs = o->n_seqs ? o->n_seqs : 1;
    e->n_step_tokens = max_int(o->n_step_tokens ? o->n_step_tokens : ENGINE_STEP_TOKENS, e->n_seqs);
    e->budget_bytes = o->budget_bytes;
    e->n_threads_prefill = o->n_threads_prefill ? o->n_threads_prefill : e->n_threads;
    e->pool = pool_create(max_int(e->n_threads, e->n_threads_prefill), err);
    if (e->pool && thread_start(&e->helper, "hearth-prepare", prepare_main, e, err)
        && thread_start(&e->thread, "hearth-engine", engine_main, e, err))
        return e;
    hearth_engine_destroy(e);
    return NULL;
}

/* What still runs or waits when both threads have ended: its streams get their END, and are let go of. */
static void end_all(struct hearth_engine *e)
{
    for (int i = 0; e->seqs && i < e->n_seqs; i++)
        if (e->seqs[i].stream)
            seq_end(&e->seqs[i], HEARTH_END_CANCELLED, "the engine was stopped", NULL);
    struct hearth_stream *chain = e->seqs ? take_finished(e) : NULL, *waiting;
    while ((waiting = queue_pop(&e->inbox))) {
        hearth_event end = { .type = HEARTH_EVENT_END, .text = "", .reason = HEARTH_END_CANCELLED };
        waiting->receipt.reason = HEARTH_END_CANCELLED;
        stream_end(waiting, &end);
        waiting->next = chain;
        chain = waiting;
    }
    let_go(chain);
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
    end_all(e);
    pool_destroy(e->pool);
    lock_destroy(&e->lock);
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
