/* step.c: one step of a model: prompts in chunks and answers by a token or a few, computed together. Only the engine
 * thread touches sequences, KV pages and the workspace, so nothing inside takes a lock or allocates. */
#include <assert.h>
#include <stdio.h>

#include "engine/embed.h"
#include "engine/lane.h"

/* ---- before a step ---- */

static void end_cancelled(struct lane *l)
{
    for (int i = 0; i < l->e->n_seqs; i++) {
        const struct hearth_stream *s = l->seqs[i].stream;
        if (!s || !atomic_load(&s->cancelled))
            continue;
        if (l->seqs[i].loading) { /* the next time */
            disk_load_stop(&l->seqs[i].load);
            continue;
        }
        if (atomic_load(&s->stopped))
            seq_end(&l->seqs[i], HEARTH_END_LENGTH, "stopped by the caller", NULL);
        else
            seq_end(&l->seqs[i], HEARTH_END_CANCELLED, "cancelled", NULL);
    }
}

static enum seq_state state_of(struct seq *s)
{
    if (!s->stream)
        return SEQ_FREE;
    if (s->preempted || s->loading || !stream_has_room(s->stream))
        return SEQ_PAUSED;
    return s->n_done < s->n_prefill ? SEQ_PREFILL : SEQ_DECODE;
}

/* From the weights or from disk. */
static bool reads(struct seq *s) { return s->stream && (s->loading || state_of(s) == SEQ_PREFILL); }

/* It reads what another reads before it, and goes on with that one's pages. */
static bool follows(struct lane *l, const struct seq *s)
{
    struct seq *leader = &l->seqs[s->leader];
    return s->n_followed > s->n_done && leader->order == s->leader_order && reads(leader)
           && leader->n_done < s->n_followed && (leader->loading || leader->n_done >= s->n_done);
}

/* Scoring sends an event for each token from score_from on, so chunks of those are held to what the ring takes
 * (stream_has_room() leaves 2 * STREAM_EVENT_MAX_BYTES; an event without text is STREAM_RECORD_BYTES and its
 * alternatives). What comes before is an ordinary prompt. */
enum { SCORE_CHUNK_TOKENS = 64 };
static_assert(SCORE_CHUNK_TOKENS * (STREAM_RECORD_BYTES + MAX_ALTERNATIVES * sizeof(hearth_alternative)) + 64
                  <= 2 * STREAM_EVENT_MAX_BYTES,
              "a chunk's events and the END without text");

/* Most prompt tokens of it in the next step; 0: as many as there is room for. */
static int chunk_of(const struct seq *s)
{
    if (!s->stream->model->file->model.hp.causal) /* all of it, at once */
        return 0;
    int unscored = seq_score_from(s) - 1 - s->n_done;
    int limits[] = { (int)s->stream->request.n_chunk_tokens, seq_to_save(s),
                     !seq_scores(s) ? 0 : unscored > 0 ? unscored : SCORE_CHUNK_TOKENS };
    int least = 0;
    for (size_t i = 0; i < ARRAY_LEN(limits); i++)
        if (limits[i] > 0)
            least = least > 0 ? min_int(least, limits[i]) : limits[i];
    return least;
}

/* Who decodes says in turn what may come next, each knowing the columns that the step has already. A prompt in the
 * step leaves no room: its columns cost as much as a draft's, and are not in vain. */
static void draft(struct lane *l, struct sched_seq *view)
{
    int n_columns = 0;
    bool prompts = false;
    for (int i = 0; i < l->e->n_seqs; i++) {
        n_columns += view[i].state == SEQ_DECODE;
        prompts = prompts || view[i].state == SEQ_PREFILL;
    }
    l->n_steps++;
    for (int i = 0; i < l->e->n_seqs; i++) {
        int turn = (int)((l->n_steps + (unsigned)i) % (unsigned)l->e->n_seqs);
        struct seq *s = &l->seqs[turn];
        if (view[turn].state != SEQ_DECODE || (prompts && s->stream->request.speculate == HEARTH_SPECULATE_AUTO))
            continue;
        view[turn].n_draft = seq_draft(s, n_columns);
        n_columns += view[turn].n_draft;
    }
}

static void plan_step(struct lane *l, struct plan *plan)
{
    struct sched_seq view[SCHED_MAX_SEQS];
    int n_answers = 0;
    for (int i = 0; i < l->e->n_seqs; i++) {
        struct seq *s = &l->seqs[i];
        enum seq_state state = state_of(s);
        if (state == SEQ_PREFILL)
            seq_join(s);
        if (state == SEQ_PREFILL && (follows(l, s) || (!s->load_tried && seq_load(s))))
            state = SEQ_PAUSED;
        n_answers += state == SEQ_DECODE;
        view[i] =
            (struct sched_seq){ .state = state, .n_prompt = s->n_prefill, .n_done = s->n_done, .order = s->order };
        if (s->stream) {
            view[i].n_chunk = chunk_of(s);
            seq_note_reader(s, state == SEQ_PAUSED && !s->preempted && !s->loading && !stream_has_room(s->stream));
        }
    }
    figures_show(l, view);
    draft(l, view);
    struct sched_room room = { .max_columns = l->model->ws.max_tokens, .attended = l->pace.attended,
                               .whole = !l->model->file->model.hp.causal };
    room.max_tokens = room.whole ? room.max_columns : min_int(l->e->n_step_tokens, room.max_columns);
    room.prompt_cost = pace_room(&l->pace, n_answers + l->n_other_answers, l->e->n_seqs * l->n_lanes, l->e->step_ms);
    sched_plan(plan, view, l->e->n_seqs, &room);
}

static bool is_decode(const struct lane *l, const struct slice *slice)
{
    return slice->first >= l->seqs[slice->seq].n_prefill;
}

/* Rows of the step. */
static void batch_fill(struct lane *l, struct plan *plan)
{
    struct batch *b = &l->batch;
    lane_reserve(l, plan);
    *b = (struct batch){ .tokens = l->batch_tokens, .slices = l->slices, .n_slices = plan->n_slices };
    for (int i = 0; i < plan->n_slices; i++) {
        const struct slice *slice = &plan->slice[i];
        const struct seq *s = &l->seqs[slice->seq];
        for (int t = 0; t < slice->n; t++)
            l->batch_tokens[b->n_tokens + t] = s->history[slice->first + t];
        l->slices[i] = (struct batch_slice){ .first_row = b->n_tokens,
                                             .n_tokens = slice->n,
                                             .first_pos = slice->first,
                                             .kv = kv_seq_view(&l->model->kv, &s->kv),
                                             .state = kv_seq_state(&l->model->kv, &s->kv) };
        b->n_tokens += slice->n;
    }
}

/* ---- after the forward pass ---- */

/* A row of the batch whose logits are wanted, and for what. */
struct wanted {
    int row, slice, seq;
    int score_index; /* prompt token it predicts; -1: sample */
};

static int list_wanted(const struct lane *l, const struct plan *plan, struct wanted *w)
{
    int n = 0;
    for (int i = 0; i < plan->n_slices; i++) {
        const struct slice *slice = &plan->slice[i];
        const struct seq *s = &l->seqs[slice->seq];
        int first_row = l->slices[i].first_row;
        if (seq_scores(s)) {
            for (int t = 0; t < slice->n; t++)
                if (slice->first + t + 1 < s->n_prompt && slice->first + t + 1 >= seq_score_from(s))
                    w[n++] = (struct wanted){ first_row + t, i, slice->seq, slice->first + t + 1 };
        }
        if (slice->last && !s->stream->request.score && !s->stream->request.embed) {
            for (int t = is_decode(l, slice) ? 0 : slice->n - 1; t < slice->n; t++)
                w[n++] = (struct wanted){ first_row + t, i, slice->seq, -1 };
        }
    }
    return n;
}

/* NaN or Inf: once more with the probe, up to this row, to name layer and tensor. Writes the same KV again, so other
 * sequences are not disturbed; a recurrent state is what it was at the beginning of the slice only if all is read
 * again. The workspace is run over: after all other rows of the step. */
static void end_not_finite(struct lane *l, const struct wanted *w)
{
    struct seq *s = &l->seqs[w->seq];
    struct probe probe = { .layer = -1 };
    hearth_error err = { 0 };
    const struct model *m = &l->model->file->model;
    struct batch_slice slice = l->slices[w->slice];
    int end = slice.first_pos + w->row - slice.first_row + 1;
    slice.first_row = 0;
    if (slice.state)
        slice.first_pos = 0;
    for (; slice.first_pos < end && !probe.name[0]; slice.first_pos += slice.n_tokens) {
        slice.n_tokens = min_int(end - slice.first_pos, l->model->ws.max_tokens);
        struct batch alone = { .tokens = s->history + slice.first_pos, .slices = &slice, .n_slices = 1,
                               .n_tokens = slice.n_tokens };
        model_forward(m, l->e->kernels, l->e->pool, &l->model->ws, &alone, &probe, NULL);
    }
    if (!probe.name[0])
        snprintf(probe.name, sizeof probe.name, STR_FMT, STR_ARG(m->global[G_OUTPUT].name));
    char layer[32] = "";
    if (probe.layer >= 0)
        snprintf(layer, sizeof layer, "layer %d, ", probe.layer);
    fail(&err, HEARTH_ERR_MODEL,
         "the model computed NaN or Inf at token %d, first after %s%s; the file is damaged or badly quantized: "
         "download it again or use another quantization",
         s->n_total, layer, probe.name);
    seq_end(s, HEARTH_END_ERROR, s->stream->request.embed ? "NaN or Inf in a state" : "NaN or Inf in the logits", &err);
}

static void use_group(struct lane *l, const struct wanted *w, int n, struct wanted *bad, int *n_bad)
{
    struct workspace *ws = &l->model->ws;
    int n_vocab = l->model->file->model.hp.n_vocab;
    for (int i = 0; i < n; i++) {
        struct seq *s = &l->seqs[w[i].seq];
        float *logits = ws->logits + (size_t)i * (size_t)n_vocab;
        if (!seq_wants(s))
            continue; /* ended earlier in this step, or behind a draft that was wrong */
        if (!l->e->kernels->all_finite(logits, n_vocab)) {
            bad[(*n_bad)++] = w[i];
            s->dropped = true;
        } else if (w[i].score_index >= 0) {
            seq_score(s, l->e->kernels, logits, w[i].score_index);
        } else {
            seq_verify(s, l->e->kernels, logits);
        }
    }
}

static void use_logits(struct lane *l, const struct wanted *w, int n)
{
    struct wanted bad[SCHED_MAX_SEQS];
    int rows[SCHED_MAX_SEQS], most = min_int(l->model->ws.max_logit_rows, SCHED_MAX_SEQS), n_bad = 0;
    for (int at = 0; at < n;) {
        if (!seq_wants(&l->seqs[w[at].seq])) {
            at++;
            continue;
        }
        int group = min_int(n - at, most);
        for (int i = 0; i < group; i++)
            rows[i] = w[at + i].row;
        model_logits(&l->model->file->model, l->e->kernels, l->e->pool, &l->model->ws, rows, group,
                     &l->model->observer);
        use_group(l, w + at, group, bad, &n_bad);
        at += group;
    }
    for (int i = 0; i < n_bad; i++)
        end_not_finite(l, &bad[i]);
}

/* Texts that become vectors. */
static void use_states(struct lane *l, const struct plan *plan)
{
    for (int i = 0; i < plan->n_slices; i++) {
        const struct slice *slice = &plan->slice[i];
        struct seq *s = &l->seqs[slice->seq];
        int first_row = l->slices[i].first_row;
        if (!s->stream || !s->stream->request.embed)
            continue;
        int n = embed_rows(s, l->e->kernels, l->e->pool, first_row, slice->first, slice->n);
        if (n < slice->n)
            end_not_finite(l, &(struct wanted){ .row = first_row + n, .slice = i, .seq = slice->seq });
        else if (s->n_done == s->n_prompt)
            embed_end(s, l->e->kernels, l->e->pool);
    }
}

static void advance(struct lane *l, const struct plan *plan)
{
    for (int i = 0; i < plan->n_slices; i++) {
        struct seq *s = &l->seqs[plan->slice[i].seq];
        bool decode = is_decode(l, &plan->slice[i]);
        s->n_done = plan->slice[i].first + (decode ? 1 : plan->slice[i].n);
        seq_try(s, decode ? plan->slice[i].n - 1 : 0);
        if (!decode && s->n_output == 0) /* else it is read again, and counted as that */
            s->stream->receipt.n_prefill_chunks++;
        if (!decode)
            seq_progress(s);
    }
}

static void settle(struct lane *l, const struct plan *plan)
{
    for (int i = 0; i < plan->n_slices; i++) {
        struct seq *s = &l->seqs[plan->slice[i].seq];
        seq_settle(s, &l->model->kv);
        seq_publish(s);
    }
}

/* Scored sequences whose prompt is through. */
static void end_scored(struct lane *l)
{
    for (int i = 0; i < l->e->n_seqs; i++) {
        struct seq *s = &l->seqs[i];
        if (s->stream && s->stream->request.score && s->n_done == s->n_prompt)
            seq_end(s, HEARTH_END_LENGTH, "scored", NULL);
    }
}

static void end_damaged(struct lane *l)
{
    hearth_error err = { 0 };
    fail(&err, HEARTH_ERR_MODEL, "%s was cut short on disk while in use; put the whole file back and load it again",
         l->model->file->name);
    for (int i = 0; i < l->e->n_seqs; i++)
        if (l->seqs[i].stream && !l->seqs[i].loading) /* else when it computes */
            seq_end(&l->seqs[i], HEARTH_END_ERROR, "model file truncated while in use", &err);
}

/* Prompts are bound by arithmetic and single tokens by memory, which fewer threads may saturate. */
static int step_threads(const struct lane *l, const struct plan *plan)
{
    for (int i = 0; i < plan->n_slices; i++)
        if (!is_decode(l, &plan->slice[i]))
            return l->e->n_threads_prefill;
    return l->e->n_threads;
}

/* What it cost, for the next one's size. */
static void learn(struct lane *l, const struct plan *plan, double ms)
{
    double cost = 0;
    int n_answers = 0;
    for (int i = 0; i < plan->n_slices; i++) {
        const struct slice *slice = &plan->slice[i];
        bool decode = is_decode(l, slice);
        cost += decode ? 0 : pace_cost(l->pace.attended, slice->first, slice->n);
        n_answers += decode;
    }
    pace_learn(&l->pace, cost, n_answers, ms);
}

static void compute(struct lane *l, struct plan *plan)
{
    struct wanted wanted[SCHED_MAX_SEQS * SCORE_CHUNK_TOKENS];
    int64_t start = clock_ns();
    pool_use(l->e->pool, step_threads(l, plan));
    model_forward(&l->model->file->model, l->e->kernels, l->e->pool, &l->model->ws, &l->batch, NULL,
                  &l->model->observer);
    advance(l, plan);
    if (file_damaged(l->model->file)) {
        end_damaged(l);
        return;
    }
    use_logits(l, wanted, list_wanted(l, plan, wanted));
    use_states(l, plan);
    learn(l, plan, clock_ms_since(start));
    settle(l, plan);
    end_scored(l);
}

int lane_answers(struct lane *l)
{
    int n = 0;
    for (int i = 0; i < l->e->n_seqs; i++)
        n += state_of(&l->seqs[i]) == SEQ_DECODE;
    return n;
}

static void wake_all(struct lane *l)
{
    bool any = false;
    for (int i = 0; i < l->e->n_seqs; i++) {
        if (l->seqs[i].stream)
            any |= stream_wake(l->seqs[i].stream);
        if (l->seqs[i].finished)
            any |= stream_wake(l->seqs[i].finished);
    }
    if (any)
        engine_ring(l->e);
}

/* What is read from disk by now. */
static void look_at_loads(struct lane *l)
{
    for (int i = 0; i < l->e->n_seqs; i++)
        if (l->seqs[i].loading)
            seq_load_look(&l->seqs[i]);
}

/* Copies of pages for the disk: as many as the step computed, which is nothing beside that; while only answers run,
 * which feel it, one now and then; and where nobody computes as many as there is room for. */
static void copy_pages(struct lane *l, const struct plan *plan)
{
    enum { REST = 250 /* times as long as a copy took */ };
    struct keep *k = &l->model->keep;
    int n = DISK_MOST_COPIES, n_prompt = 0;
    if (!keep_waits(k))
        return;
    for (int i = 0; i < plan->n_slices; i++)
        n_prompt += is_decode(l, &plan->slice[i]) ? 0 : plan->slice[i].n;
    int64_t start = clock_ns();
    bool answers = lane_answers(l) + l->n_other_answers > 0;
    if (n_prompt > 0)
        n = 1 + n_prompt / KV_PAGE_TOKENS;
    else if (answers)
        n = start >= k->rest_until_ns;
    if (keep_copy(k, &l->model->kv, n) > 0 && answers)
        k->rest_until_ns = start + REST * (clock_ns() - start);
}

bool lane_step(struct lane *l)
{
    struct plan plan;
    look_at_loads(l);
    end_cancelled(l);
    lane_admit(l);
    plan_step(l, &plan);
    bool planned = plan.n_tokens > 0;
    batch_fill(l, &plan);
    wake_all(l); /* of those that ended or were admitted, before a step that may be long */
    if (plan.n_tokens > 0)
        compute(l, &plan);
    wake_all(l);
    copy_pages(l, &plan);
    return planned; /* where all had to give up their pages, the next step begins with some of them */
}

struct hearth_stream *lane_take_finished(struct lane *l)
{
    struct hearth_stream *chain = NULL;
    for (int i = 0; i < l->e->n_seqs; i++) {
        struct hearth_stream *done = l->seqs[i].finished;
        l->seqs[i].finished = NULL;
        if (done) {
            done->next = chain;
            chain = done;
        }
    }
    return chain;
}
