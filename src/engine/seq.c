#include "engine/seq.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/engine.h"
#include "infer/logits_mix.h"
#include "infer/trace.h"

int seq_most_cached(const struct seq *s)
{
    const hearth_request *r = &s->stream->request;
    if (r->no_prefix_cache)
        return 0;
    return (seq_scores(s) ? seq_score_from(s) : s->n_prefill) - 1;
}

static struct kv_match find_prefix(struct seq *s)
{
    struct kv_match match;
    kv_seq_find(&s->stream->model->kv, &s->kv, s->stream->request.cache_salt, s->history, seq_most_cached(s), &match);
    s->n_done = match.n_tokens;
    s->save_at = s->branch_at = 0;
    if (states_kept(&s->stream->model->kv.states) && !s->stream->request.no_prefix_cache) {
        s->save_at = seq_most_cached(s) / KV_PAGE_TOKENS * KV_PAGE_TOKENS;
        s->branch_at = match.n_paged;
    }
    return match;
}

int seq_to_save(const struct seq *s)
{
    int first = min_int(s->save_at, s->branch_at), second = max_int(s->save_at, s->branch_at);
    return first > s->n_done ? first - s->n_done : max_int(second - s->n_done, 0);
}

bool seq_will_save(struct seq *s, int n_tokens)
{
    if (!states_kept(&s->stream->model->kv.states) || n_tokens == s->save_at || n_tokens == s->branch_at)
        return true;
    if (n_tokens <= s->n_done || s->branch_at > s->n_done || !s->save_at)
        return false;
    s->branch_at = n_tokens;
    return true;
}

static void describe_prefix(const struct seq *s, const struct kv_match *match)
{
    hearth_receipt *r = &s->stream->receipt;
    r->n_cached_tokens = r->n_prefix_tokens = match->n_tokens;
    r->prefix_end = s->stream->request.no_prefix_cache ? HEARTH_PREFIX_NOT_ASKED : match->end;
    r->prefix_id = s->history[match->n_tokens];
    r->prefix_other_id = match->end == HEARTH_PREFIX_DIFFERS ? match->other : -1;
}

void seq_preempt(struct seq *s)
{
    s->preempted = true;
    s->preempted_ns = clock_ns();
    s->n_lost = s->n_done;
    kv_seq_leave(&s->stream->model->kv, &s->kv, s->history, s->n_done);
    s->n_done = 0;
    s->n_prefill = s->n_total;
    s->n_followed = 0;
    s->stream->receipt.n_preemptions += s->n_lost > 0;
    s->load_tried = false;
}

void seq_resume(struct seq *s)
{
    hearth_receipt *r = &s->stream->receipt;
    int n_kept = find_prefix(s).n_tokens;
    s->preempted = false;
    s->kept = (struct keep_mark){ 0 };
    r->n_recomputed_tokens += max_int(s->n_lost - n_kept, 0);
    r->preempted_ms += clock_ms_since(s->preempted_ns);
}

void seq_join(struct seq *s)
{
    hearth_receipt *r = &s->stream->receipt;
    int had = s->n_done;
    s->n_done = kv_seq_join(&s->stream->model->kv, &s->kv, s->history, had, seq_most_cached(s));
    if (r->n_preemptions == 0)
        r->n_cached_tokens += s->n_done - had;
    else
        r->n_recomputed_tokens -= max_int(min_int(s->n_done, s->n_lost) - had, 0);
}

void seq_note_reader(struct seq *s, bool slow)
{
    if (slow && !s->slow_reader_ns)
        s->slow_reader_ns = clock_ns();
    if (slow || !s->slow_reader_ns)
        return;
    s->stream->receipt.slow_reader_ms += clock_ms_since(s->slow_reader_ns);
    s->slow_reader_ns = 0;
}

void seq_publish(struct seq *s)
{
    if (!s->stream)
        return;
    kv_seq_publish(&s->stream->model->kv, &s->kv, s->history, s->n_done);
    if (s->n_done == s->save_at || s->n_done == s->branch_at)
        kv_seq_save_state(&s->stream->model->kv, &s->kv, s->n_done);
    seq_keep(s);
}

static void tell_progress(struct seq *s, hearth_event_type type)
{
    struct hearth_stream *st = s->stream;
    hearth_event e = { .type = type, .text = "", .thinking = "", .n_prompt_tokens = s->n_prompt,
                       .n_cached_tokens = st->receipt.n_cached_tokens,
                       .n_processed_tokens = min_int(s->n_done, s->n_prompt),
                       .elapsed_ms = clock_ms_since(s->begin_ns) };
    s->n_told = e.n_processed_tokens;
    stream_push(st, &e);
}

void seq_progress(struct seq *s)
{
    if (s->stream->request.want_progress && s->n_output == 0 && s->n_done > s->n_told)
        tell_progress(s, HEARTH_EVENT_PROGRESS);
}

void seq_begin(struct seq *s, struct hearth_stream *stream, uint64_t order)
{
    static const struct thinking_marks none;
    s->stream = stream;
    s->order = order;
    s->n_prompt = s->n_total = (int)stream->prompt.n;
    memcpy(s->history, stream->prompt.ids, stream->prompt.n * sizeof *s->history);
    s->n_prefill = s->n_prompt;
    s->preempted = false;
    s->n_scored = s->n_followed = 0;
    s->kv.apart = stream->request.no_prefix_cache;
    struct kv_match match = find_prefix(s);
    describe_prefix(s, &match);
    s->kept = (struct keep_mark){ 0 };
    s->loading = s->load_tried = false;
    s->n_output = 0;
    s->n_held = 0;
    sampling_memory_begin(&s->sampling, &stream->request.sampling);
    if (stream->request.speculate != HEARTH_SPECULATE_OFF)
        lookup_begin(&s->lookup, stream->request.speculate,
                     stream->model->file->model.decode_bytes > LOOKUP_CACHE_BYTES ? LOOKUP_FROM_MEMORY
                                                                                  : LOOKUP_FROM_CACHE);
    s->n_draft = 0;
    s->dropped = false;
    splitter_init(&s->split, stream->chat ? &chat_traits(stream->chat)->marks : &none, stream->starts_thinking);
    detok_init(&s->detok, stream->model->tokenizer, false, stream->request.ignore_eos);
    s->begin_ns = clock_ns();
    s->first_token_ns = s->last_token_ns = 0;
    process_fault_counts(&s->faults_at_begin);
    pressure_look(&stream->model->engine->pressure, &s->pressure_at_begin);
    s->slow_reader_ns = 0;
    stream->receipt.queue_ms = (double)(s->begin_ns - stream->prepared_ns) / 1e6;
    stream->receipt.n_prompt_tokens = s->n_prompt;
    stream->receipt.n_prefill_chunks = 0;
    if (stream->request.want_progress)
        tell_progress(s, HEARTH_EVENT_ADMITTED);
    if (stream->request.score_prompt && !stream->receipt.bos_added) {
        hearth_event first = { .type = HEARTH_EVENT_PROMPT_TOKEN, .id = s->history[0], .text = "", .thinking = "",
                               .logprob = NAN };
        stream_push(stream, &first);
    }
}

/* ---- what goes out with a token ---- */

struct outgoing {
    hearth_event event;
    hearth_alternative alternatives[MAX_ALTERNATIVES];
    struct choice_trace trace;
};
static_assert((int)MAX_ALTERNATIVES < (int)TRACE_TOKENS, "they are followed, and one more");
static_assert(sizeof(struct outgoing) + 2 * STREAM_TEXT_MAX_BYTES <= STREAM_EVENT_MAX_BYTES, "through the ring");

/* Before anything touches them. */
static void look_at_bits(struct outgoing *o, const struct hearth_stream *st, const float *logits)
{
    int n_vocab = st->model->file->model.hp.n_vocab;
    if (st->digest)
        sha256_add(st->digest, logits, (size_t)n_vocab * sizeof *logits);
    if (st->request.want_logits_mix)
        o->event.logits_mix = logits_mix(logits, n_vocab);
}

/* Log-probabilities of the model's own distribution, before anything touches the logits. */
static void describe_choice(struct outgoing *o, const struct hearth_stream *st, const struct kernels *k,
                            const float *logits)
{
    const hearth_request *r = &st->request;
    int n_vocab = st->model->file->model.hp.n_vocab;
    if (!r->want_logprob && !r->n_alternatives && !r->score)
        return; /* score_prompt wants log-probabilities */
    double logsumexp = logits_logsumexp(k, logits, n_vocab);
    const struct candidate *best = st->model->room.candidates;
    o->event.n_alternatives = candidates_best(k, &st->model->room, logits, n_vocab, r->n_alternatives);
    o->event.alternatives = o->alternatives;
    o->event.logprob = (float)-logsumexp; /* the caller adds the token's logit */
    for (int i = 0; i < o->event.n_alternatives; i++) /* the same sum, so the likeliest token's two are equal */
        o->alternatives[i] = (hearth_alternative){ best[i].id, o->event.logprob + best[i].logit };
}

/* ---- text and stop texts ---- */

/* Length of the longest end of text that is the beginning of a stop text. */
static size_t may_become_stop(const hearth_request *r, const char *text, size_t n)
{
    size_t longest = 0;
    for (size_t i = 0; i < r->n_stop; i++) {
        size_t len = strlen(r->stop[i]);
        for (size_t tail = min_size(len - 1, n); tail > longest; tail--)
            if (memcmp(text + n - tail, r->stop[i], tail) == 0)
                longest = tail;
    }
    return longest;
}

/* Where the first stop text begins in the held text; SIZE_MAX: nowhere. */
static size_t find_stop(const hearth_request *r, const char *text, size_t n, size_t *which)
{
    for (size_t at = 0; at < n; at++)
        for (size_t i = 0; i < r->n_stop; i++) {
            size_t len = strlen(r->stop[i]);
            if (len <= n - at && memcmp(text + at, r->stop[i], len) == 0) {
                *which = i;
                return at;
            }
        }
    return SIZE_MAX;
}

static void send(struct seq *s, struct outgoing *o, size_t n_text, size_t n_thinking)
{
    o->event.text = s->held;
    o->event.n_bytes = n_text;
    o->event.thinking = s->thinking;
    o->event.n_thinking_bytes = n_thinking;
    stream_push(s->stream, &o->event);
    memmove(s->held, s->held + n_text, s->n_held - n_text);
    s->n_held -= n_text;
}

/* Bytes that became text, to thinking or answer. Returns how many went to thinking. */
static size_t split(struct seq *s, struct str text, bool hidden, bool finish)
{
    struct split_text out = { .thinking = s->thinking, .answer = s->held + s->n_held };
    splitter_push(&s->split, text, hidden, &out);
    if (finish)
        splitter_finish(&s->split, &out);
    s->n_held += out.n_answer;
    return out.n_thinking;
}

/* A special token is no text, but it may be (part of) a mark around thinking. */
static size_t take_token(struct seq *s, int32_t id)
{
    char text[STREAM_TEXT_MAX_BYTES / 2 + 16];
    const struct hearth_stream *st = s->stream;
    if (st->chat && s->split.state != SPLIT_ANSWER && chat_is_mark(st->chat, id))
        return split(s, tokenizer_piece(st->model->tokenizer, id, true, text, sizeof text), true, false);
    return split(s, (struct str){ text, detok_push(&s->detok, id, text, sizeof text) }, false, false);
}

/* Text of a token to the stream. True when a stop text ended the answer. */
static bool send_token(struct seq *s, struct outgoing *o)
{
    const hearth_request *r = &s->stream->request;
    bool thinking = s->split.state == SPLIT_THINKING;
    size_t n_thinking = take_token(s, o->event.id);
    s->stream->receipt.n_thinking_tokens += thinking || s->split.state == SPLIT_THINKING;
    size_t which = 0, stop = find_stop(r, s->held, s->n_held, &which);
    if (stop != SIZE_MAX) {
        s->n_held = stop;
        send(s, o, stop, n_thinking);
        snprintf(s->stream->receipt.finish_detail, sizeof s->stream->receipt.finish_detail, "stop text %zu", which);
        return true;
    }
    send(s, o, s->n_held - may_become_stop(r, s->held, s->n_held), n_thinking);
    return false;
}

/* ---- the end ---- */

/* Of counters that begin anew where the process comes into another group. */
static double ms_between(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (double)(to_ns - from_ns) / 1e6 : 0;
}

/* An answer that went round in a circle at its end, which a model does that has lost its way: the shortest circle that
 * was gone through at least four times, and for at least 24 tokens. */
static void find_repetition(const struct seq *s, hearth_receipt *r)
{
    enum { LONGEST = 64, LEAST_TIMES = 4, LEAST_TOKENS = 24 };
    const int32_t *out = s->history + s->n_prompt;
    int n = s->n_total - s->n_prompt;
    for (int period = 1; period <= LONGEST && period * LEAST_TIMES <= n; period++) {
        int same = 0; /* tokens at the end that are those a period before */
        while (same < n - period && out[n - 1 - same] == out[n - 1 - same - period])
            same++;
        int whole = same + period;
        if (whole >= LEAST_TOKENS && whole / period >= LEAST_TIMES) {
            r->n_repeated_tokens = period;
            r->n_repetitions = whole / period;
            return;
        }
    }
}

static void finish_receipt(struct seq *s, hearth_end_reason reason, const char *detail)
{
    struct hearth_stream *st = s->stream;
    hearth_receipt *r = &st->receipt;
    int64_t now = clock_ns();
    r->reason = reason;
    if (detail)
        snprintf(r->finish_detail, sizeof r->finish_detail, "%s", detail);
    r->n_output_tokens = s->n_output;
    find_repetition(s, r);
    if (s->first_token_ns) {
        r->prefill_ms = (double)(s->first_token_ns - s->begin_ns) / 1e6;
        r->decode_ms = (double)(s->last_token_ns - s->first_token_ns) / 1e6;
        r->first_token_ms = (double)(s->first_token_ns - st->submit_ns) / 1e6;
    } else {
        r->prefill_ms = (double)(now - s->begin_ns) / 1e6;
    }
    r->total_ms = (double)(now - st->submit_ns) / 1e6;
    r->resident_bytes = process_resident_bytes();
    r->peak_resident_bytes = process_peak_resident_bytes();
    struct process_faults faults;
    process_fault_counts(&faults);
    r->minor_faults = faults.minor - s->faults_at_begin.minor;
    r->major_faults = faults.major - s->faults_at_begin.major;
    r->disk_read_bytes = faults.read_bytes - s->faults_at_begin.read_bytes;
    struct pressure_counts pressure;
    pressure_look(&st->model->engine->pressure, &pressure);
    r->throttled_ms = ms_between(s->pressure_at_begin.throttled_ns, pressure.throttled_ns);
    r->no_processor_ms = ms_between(s->pressure_at_begin.waited_ns, pressure.waited_ns);
    seq_note_reader(s, false);
    const struct hparams *hp = &st->model->file->model.hp;
    r->decode_bytes_per_token =
        st->model->file->model.decode_bytes
        + model_kv_read_bytes(hp, st->model->kv.type) * (uint64_t)(s->n_total - s->n_output / 2)
        + model_state_bytes(hp);
    if (st->digest)
        sha256_hex(st->digest, r->digest);
}

void seq_end(struct seq *s, hearth_end_reason reason, const char *detail, const hearth_error *err)
{
    struct hearth_stream *st = s->stream;
    if (err)
        st->error = *err;
    finish_receipt(s, reason, detail);
    char rest[16];
    size_t n_thinking = split(s, (struct str){ rest, detok_finish(&s->detok, rest, sizeof rest) }, false, true);
    hearth_event end = { .type = HEARTH_EVENT_END, .text = s->held, .n_bytes = s->n_held, .thinking = s->thinking,
                         .n_thinking_bytes = n_thinking, .reason = reason,
                         .logits_mix = st->end_mix, .choice = s->end_choice };
    if (reason == HEARTH_END_ERROR) { /* who knows what it computed */
        kv_seq_clear(&st->model->kv, &s->kv);
    } else {
        seq_publish(s);
        kv_seq_leave(&st->model->kv, &s->kv, s->history, s->n_done);
    }
    s->stream = NULL;
    s->end_choice = NULL;
    stream_end(st, &end);
    s->finished = st;
}

/* ---- one token ---- */

/* The event's logprob holds minus the logsumexp of the untouched logits; the chosen token's own logit is
 * added. Bias and penalties change logits in place, hence the copy where it matters. */
static int32_t choose(struct seq *s, const struct kernels *k, float *logits, struct outgoing *o)
{
    struct hearth_stream *st = s->stream;
    const hearth_request *r = &st->request;
    int n_vocab = st->model->file->model.hp.n_vocab;
    float *untouched = r->want_logprob || r->n_alternatives || r->want_choice ? st->model->logits_copy : NULL;
    struct sampling_memory before = s->sampling;
    struct sampling_state state = { .params = &r->sampling,
                                    .bias = r->logit_bias,
                                    .n_bias = r->n_logit_bias,
                                    .history = s->history,
                                    .n_history = s->n_total,
                                    .seed = r->seed,
                                    .order = &st->order,
                                    .breakers = st->breakers,
                                    .memory = &s->sampling };
    int64_t start = clock_ns();
    if (untouched)
        memcpy(untouched, logits, (size_t)n_vocab * sizeof *logits);
    int32_t id = sampler_choose(k, logits, n_vocab, &state, &st->model->room);
    st->receipt.sample_ms += clock_ms_since(start);
    if (r->want_logprob || r->n_alternatives)
        o->event.logprob += untouched[id];
    if (r->want_choice) {
        memcpy(logits, untouched, (size_t)n_vocab * sizeof *logits);
        state.memory = &before;
        trace_choice(&o->trace, k, logits, n_vocab, &state, &st->model->room, o->alternatives, o->event.n_alternatives,
                     id);
        o->event.choice = &o->trace.choice;
    }
    return id;
}

/* Why the sequence must end after this token; NULL: it need not. */
static const char *length_reached(const struct seq *s, char *detail, size_t room)
{
    const struct hearth_stream *st = s->stream;
    if (st->request.max_tokens > 0 && s->n_output >= st->request.max_tokens)
        snprintf(detail, room, "max_tokens %d", st->request.max_tokens);
    else if (s->n_total >= st->model->plan.n_ctx_tokens)
        snprintf(detail, room, "context full at %d tokens", st->model->plan.n_ctx_tokens);
    else
        return NULL;
    return detail;
}

/* An end token inside the closing mark of thinking ends that and not the answer. */
static bool ends_thinking(const struct seq *s, int32_t id)
{
    return s->stream->chat && s->split.state == SPLIT_THINKING && chat_is_close(s->stream->chat, id);
}

bool seq_sample(struct seq *s, const struct kernels *k, float *logits)
{
    struct hearth_stream *st = s->stream;
    char detail[96];
    struct outgoing o;
    o.event = (hearth_event){ .type = HEARTH_EVENT_TOKEN };
    look_at_bits(&o, st, logits);
    describe_choice(&o, st, k, logits);
    int32_t id = choose(s, k, logits, &o);
    int64_t now = clock_ns();
    if (s->first_token_ns)
        figures_gap(&st->model->figures, now - s->last_token_ns);
    else
        s->first_token_ns = now;
    s->last_token_ns = now;
    if (!st->request.ignore_eos && vocab_is_eog(tokenizer_vocab(st->model->tokenizer), id) && !ends_thinking(s, id)) {
        snprintf(detail, sizeof detail, "end-of-generation token %d", id);
        st->end_mix = o.event.logits_mix;
        s->end_choice = o.event.choice;
        seq_end(s, HEARTH_END_STOP, detail, NULL);
        return false;
    }
    s->history[s->n_total++] = id;
    s->n_output++;
    o.event.id = id;
    if (send_token(s, &o)) {
        seq_end(s, HEARTH_END_STOP, NULL, NULL);
        return false;
    }
    if (length_reached(s, detail, sizeof detail)) {
        seq_end(s, HEARTH_END_LENGTH, detail, NULL);
        return false;
    }
    return true;
}

/* ---- drafts ----
 *
 * A step with a draft is so many steps of one token each, as far as its tokens are what comes. Whatever would come
 * between two such steps is looked at between two rows. */

int seq_draft(struct seq *s, int n_columns)
{
    const struct hearth_stream *st = s->stream;
    const hearth_request *r = &st->request;
    /* An observer sees the inputs of tokens that are part of the text, and each once. */
    if (st->receipt.speculate == HEARTH_SPECULATE_OFF || st->model->observer.see)
        return 0;
    int most = min_int(LOOKUP_MOST, st->model->plan.n_ctx_tokens - s->n_total - 1);
    if (r->max_tokens > 0)
        most = min_int(most, r->max_tokens - s->n_output - 1);
    return lookup_draft(&s->lookup, s->history, s->n_total, most, n_columns);
}

void seq_try(struct seq *s, int n)
{
    s->n_draft = n;
    s->n_right = s->n_verified = 0;
    s->dropped = false;
    s->stream->receipt.n_draft_tokens += n;
}

bool seq_wants(const struct seq *s) { return s->stream && !s->dropped; }

void seq_verify(struct seq *s, const struct kernels *k, float *logits)
{
    if (s->n_verified++ > 0) {
        s->n_done++;
        s->stream->receipt.n_accepted_tokens++;
    }
    int32_t draft = s->n_right < s->n_draft ? s->history[s->n_total] : -1;
    bool goes_on = seq_sample(s, k, logits) && s->n_right < s->n_draft;
    bool right = goes_on && s->history[s->n_total - 1] == draft;
    s->n_right += right;
    s->dropped = !right || !stream_has_room(s->stream) || atomic_load(&s->stream->cancelled);
}

void seq_settle(struct seq *s, struct kv_pool *pool)
{
    if (s->n_draft == 0)
        return;
    if (s->stream)
        lookup_learn(&s->lookup, s->n_right, s->n_right == s->n_verified - 1 && s->n_right < s->n_draft);
    kv_seq_cut(pool, &s->kv, s->n_done);
    s->n_draft = 0;
}

void seq_score(struct seq *s, const struct kernels *k, const float *logits, int index)
{
    struct hearth_stream *st = s->stream;
    hearth_event_type type = st->request.score_prompt ? HEARTH_EVENT_PROMPT_TOKEN : HEARTH_EVENT_TOKEN;
    struct outgoing o; /* nothing is chosen: the trace stays as it is */
    o.event = (hearth_event){ .type = type, .id = s->history[index] };
    int n_vocab = st->model->file->model.hp.n_vocab;
    look_at_bits(&o, st, logits);
    if (st->request.on_logits)
        st->request.on_logits(st->request.on_logits_arg, (size_t)index, logits, n_vocab);
    describe_choice(&o, st, k, logits);
    o.event.logprob += logits[o.event.id];
    o.event.text = o.event.thinking = "";
    stream_push(st, &o.event);
    s->n_scored = index + 1;
}
