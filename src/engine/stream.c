#include "engine/stream.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "engine/embed.h"

enum { REQUEST_ARENA_BYTES = 64 << 20, MAX_PROMPT_BYTES = 256 << 20 };

/* ---- the request ---- */

static bool check_sampling(const hearth_sampling *s, hearth_error *err)
{
    for (int i = 0; i < HEARTH_N_SAMPLING; i++) {
        const hearth_sampling_info *info = &hearth_sampling_table[i];
        double v = hearth_sampling_get(s, i);
        if (!(v >= info->least && v <= info->most))
            return fail(err, HEARTH_ERR_USAGE, "%s is %g; it must lie between %g and %g", info->name, v, info->least,
                        info->most);
    }
    if (s->mirostat == 1)
        return fail(err, HEARTH_ERR_USAGE, "mirostat is 1, and hearth has version 2 alone; use 2, or 0 for none");
    return true;
}

static bool check_order(const hearth_sampling_order *o, hearth_error *err)
{
    bool seen[HEARTH_N_STAGES] = { false };
    if (!o)
        return true;
    if (o->n < 0 || o->n > HEARTH_N_STAGES)
        return fail(err, HEARTH_ERR_USAGE, "the sampling order has %d stages; it must have 0 to %d", o->n,
                    HEARTH_N_STAGES);
    for (int i = 0; i < o->n; i++) {
        if (o->stage[i] >= HEARTH_N_STAGES)
            return fail(err, HEARTH_ERR_USAGE, "stage %d of the sampling order is %d; the last there is has number %d",
                        i, o->stage[i], HEARTH_N_STAGES - 1);
        if (seen[o->stage[i]])
            return fail(err, HEARTH_ERR_USAGE, "the sampler '%s' stands twice in the order; name it once",
                        hearth_sampling_stages()[o->stage[i]]);
        seen[o->stage[i]] = true;
    }
    return true;
}

static bool check_breakers(const hearth_request *r, hearth_error *err)
{
    size_t n = r->dry_sequence_breakers ? r->n_dry_sequence_breakers : 0;
    if (n > HEARTH_MAX_BREAKERS)
        return fail(err, HEARTH_ERR_USAGE, "there are %zu dry_sequence_breakers; there may be %d", n,
                    HEARTH_MAX_BREAKERS);
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(r->dry_sequence_breakers[i]);
        if (len < 1 || len >= HEARTH_BREAKER_BYTES)
            return fail(err, HEARTH_ERR_USAGE, "dry_sequence_breaker %zu has %zu bytes; it must have 1 to %d", i, len,
                        HEARTH_BREAKER_BYTES - 1);
    }
    return true;
}

static bool check_count(const char *name, long long value, long long most, hearth_error *err)
{
    if (value >= 0 && value <= most)
        return true;
    return fail(err, HEARTH_ERR_USAGE, "%s is %lld; it must lie between 0 and %lld", name, value, most);
}

static bool check(const hearth_model *m, const hearth_request *r, hearth_error *err)
{
    int n_vocab = m->file->model.hp.n_vocab;
    if (!r->embed && !model_check_writes(&m->file->model, err))
        return false;
    if ((r->n_spans > 0) + (r->n_prompt_ids > 0) + (r->chat != NULL) > 1)
        return fail(err, HEARTH_ERR_USAGE,
                    "the prompt is given in two forms; give a conversation, text or ids, one of the three");
    if (!check_sampling(&r->sampling, err) || !check_order(r->sampling_order, err) || !check_breakers(r, err)
        || !check_count("max_tokens", r->max_tokens, INT32_MAX, err)
        || !check_count("n_logit_bias", (long long)r->n_logit_bias, MAX_LOGIT_BIAS, err)
        || !check_count("n_stop", (long long)r->n_stop, MAX_STOPS, err)
        || !check_count("n_alternatives", r->n_alternatives, MAX_ALTERNATIVES, err)
        || !check_count("n_chunk_tokens", r->n_chunk_tokens, INT32_MAX, err))
        return false;
    if (r->speculate < HEARTH_SPECULATE_OFF || r->speculate > HEARTH_MAX_DRAFT)
        return fail(err, HEARTH_ERR_USAGE, "speculate is %d; it must be %d (off), 0 (as it pays) or a length up to %d",
                    r->speculate, HEARTH_SPECULATE_OFF, HEARTH_MAX_DRAFT);
    for (size_t i = 0; i < r->n_logit_bias; i++)
        if (r->logit_bias[i].id < 0 || r->logit_bias[i].id >= n_vocab || isnan(r->logit_bias[i].bias))
            return fail(err, HEARTH_ERR_USAGE,
                        "logit_bias names token %d with %g; ids lie between 0 and %d, NaN is no bias",
                        r->logit_bias[i].id, (double)r->logit_bias[i].bias, n_vocab - 1);
    for (size_t i = 0; i < r->n_prompt_ids; i++)
        if (r->prompt_ids[i] < 0 || r->prompt_ids[i] >= n_vocab)
            return fail(err, HEARTH_ERR_USAGE, "prompt token %zu is %d; ids lie between 0 and %d", i, r->prompt_ids[i],
                        n_vocab - 1);
    for (size_t i = 0; i < r->n_spans; i++)
        if (r->spans[i].is_token && (r->spans[i].token < 0 || r->spans[i].token >= n_vocab))
            return fail(err, HEARTH_ERR_USAGE, "span %zu of the prompt is token %d; ids lie between 0 and %d", i,
                        r->spans[i].token, n_vocab - 1);
    for (size_t i = 0; i < r->n_stop; i++)
        if (!r->stop[i][0] || strlen(r->stop[i]) > MAX_STOP_BYTES)
            return fail(err, HEARTH_ERR_USAGE, "stop text %zu has %zu bytes; it must have 1 to %d", i,
                        strlen(r->stop[i]), MAX_STOP_BYTES);
    if (r->request_id && !hearth_request_id_valid(r->request_id, strlen(r->request_id)))
        return fail(err, HEARTH_ERR_USAGE,
                    "request_id is none; it must have 1 to %d bytes, letters, digits and -_.:=+@ alone",
                    HEARTH_REQUEST_ID_BYTES);
    if (r->on_logits && !r->score)
        return fail(err, HEARTH_ERR_USAGE, "on_logits is for scoring; set score, or leave it NULL");
    if (r->score && !r->score_prompt && r->score_from < 1)
        return fail(err, HEARTH_ERR_USAGE,
                    "score_from is 0; the first token has nothing before it, so start at 1 or later");
    return embed_check(m, r, err);
}

/* Their bytes one behind the other, as the tokenizer wants them. */
static bool copy_spans(struct hearth_stream *s, const hearth_request *r, size_t n_bytes)
{
    hearth_span *spans = arena_array(&s->arena, hearth_span, r->n_spans);
    char *at = arena_alloc(&s->arena, n_bytes + 1, 1);
    if (!spans || !at)
        return false;
    for (size_t i = 0; i < r->n_spans; i++) {
        spans[i] = r->spans[i];
        spans[i].text = at;
        if (spans[i].is_token)
            spans[i].n_bytes = 0;
        if (spans[i].n_bytes)
            memcpy(at, r->spans[i].text, r->spans[i].n_bytes);
        at += spans[i].n_bytes;
    }
    s->request.spans = spans;
    return true;
}

static bool copy_lists(struct hearth_stream *s, const hearth_request *r)
{
    hearth_logit_bias *bias = arena_array(&s->arena, hearth_logit_bias, r->n_logit_bias);
    const char **stop = arena_array(&s->arena, const char *, r->n_stop + 1);
    struct str end = s->chat ? chat_traits(s->chat)->stop_text : STR("");
    if (!bias || !stop)
        return false;
    if (r->n_logit_bias)
        memcpy(bias, r->logit_bias, r->n_logit_bias * sizeof *bias);
    for (size_t i = 0; i < r->n_stop; i++)
        stop[i] = arena_strdup(&s->arena, str_z(r->stop[i])).ptr;
    if (end.len && end.len <= MAX_STOP_BYTES && !r->ignore_eos)
        stop[s->request.n_stop++] = arena_strdup(&s->arena, end).ptr;
    for (size_t i = 0; i < r->n_prompt_ids; i++)
        token_list_push(&s->prompt, r->prompt_ids[i]);
    s->request.logit_bias = bias;
    s->request.stop = stop;
    s->request.prompt_ids = NULL;
    return !s->arena.failed && !s->prompt.failed;
}

/* The order, and room for what prepare.c finds out of the breakers; their texts go to the receipt at once. */
static bool copy_sampling(struct hearth_stream *s, const hearth_request *r, hearth_error *err)
{
    static const char *const usual[] = { "\n", ":", "\"", "*" };
    hearth_receipt *receipt = &s->receipt;
    bool given = r->dry_sequence_breakers != NULL;
    const char *const *texts = given ? r->dry_sequence_breakers : usual;
    size_t n = given ? r->n_dry_sequence_breakers : ARRAY_LEN(usual);
    receipt->sampling_order_origin = hearth_sampling_order_default(s->model, &s->order);
    if (r->sampling_order) {
        s->order = *r->sampling_order;
        receipt->sampling_order_origin = r->sampling_order_origin ? r->sampling_order_origin : HEARTH_FROM_REQUEST;
    }
    receipt->sampling_order = s->order;
    receipt->dry_sequence_breakers_origin = HEARTH_FROM_DEFAULT;
    if (given)
        receipt->dry_sequence_breakers_origin = r->dry_sequence_breakers_origin ? r->dry_sequence_breakers_origin
                                                                                : HEARTH_FROM_REQUEST;
    receipt->n_dry_sequence_breakers = (int)n;
    for (size_t i = 0; i < n; i++)
        snprintf(receipt->dry_sequence_breakers[i], HEARTH_BREAKER_BYTES, "%s", texts[i]);
    s->request.sampling_order = NULL;
    s->request.dry_sequence_breakers = NULL;
    if (n == 0 || !sampling_stage_wanted(&r->sampling, HEARTH_STAGE_dry)
        || !sampling_order_has(&s->order, HEARTH_STAGE_dry))
        return true;
    s->breakers = arena_array(&s->arena, uint64_t, s->model->file->model.hp.n_vocab / 64 + 1);
    return s->breakers ? true : fail_memory(err, "a request's sequence breakers");
}

static bool chat_bytes_ok(const hearth_chat *chat, uint64_t *n_bytes, hearth_error *err)
{
    uint64_t bytes = 0;
    for (size_t i = 0; chat && i < chat->n_messages; i++) {
        const hearth_message *m = &chat->messages[i];
        bool ok = add_ok(bytes, m->thinking.n_bytes, &bytes);
        for (size_t k = 0; ok && k < m->n_parts; k++)
            ok = add_ok(bytes, m->parts[k].n_bytes, &bytes);
        if (!ok || bytes > MAX_PROMPT_BYTES)
            return fail(err, HEARTH_ERR_USAGE, "the conversation is longer than %d MB; give a shorter one",
                        MAX_PROMPT_BYTES >> 20);
    }
    *n_bytes += bytes;
    return true;
}

static bool copy_request(struct hearth_stream *s, const hearth_request *r, hearth_error *err)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < r->n_spans; i++)
        if (!add_ok(bytes, r->spans[i].n_bytes, &bytes) || bytes > MAX_PROMPT_BYTES)
            return fail(err, HEARTH_ERR_USAGE, "the prompt is longer than %d MB; give a shorter one",
                        MAX_PROMPT_BYTES >> 20);
    s->text_bytes = bytes;
    if (!chat_bytes_ok(r->chat, &s->text_bytes, err))
        return false;
    arena_init(&s->arena, REQUEST_ARENA_BYTES + (size_t)bytes + r->n_spans * 128);
    s->request = *r;
    s->request.chat = NULL;
    if (r->score_prompt) {
        s->request.score_from = 1;
        s->request.want_logprob = true;
    }
    if ((r->chat || r->ids_are_chat) && !(s->chat = file_chat(s->model->file, err)))
        return false;
    if (r->chat && !chat_input_make(s->chat, r->chat, &s->chat_input, err))
        return false;
    s->starts_thinking = s->receipt.starts_thinking = r->ids_start_thinking;
    if (!copy_spans(s, r, (size_t)bytes) || !copy_lists(s, r))
        return fail_memory(err, "a request");
    if (!copy_sampling(s, r, err) || !embed_prepare(s, err))
        return false;
    if (!s->request.has_seed)
        s->request.seed = rng_entropy() >> 11; /* 53 bits: exact in every JSON reader */
    if (r->want_digest && !(s->digest = sha256_new()))
        return fail_memory(err, "a request's digest");
    return true;
}

void receipt_note(hearth_receipt *r, const char *fmt, ...)
{
    size_t used = strlen(r->notes);
    va_list args;
    va_start(args, fmt);
    vsnprintf(r->notes + used, sizeof r->notes - used, fmt, args);
    va_end(args);
}

/* What the model says of itself: identity, plan, load times, and every fallback taken. */
static void describe_model(hearth_receipt *r, const hearth_model *m)
{
    const hearth_file *f = m->file;
    const struct readahead *ahead = &m->readahead;
    snprintf(r->model_name, sizeof r->model_name, "%s", f->name);
    snprintf(r->model_identity, sizeof r->model_identity, "%s", m->identity);
    hearth_cost cost;
    if (hearth_file_cost(f, m->plan.kv_type, &cost))
        r->bits_per_weight = 8.0 * (double)cost.pass_bytes / (double)(cost.layer_macs + cost.output_macs);
    r->plan = m->plan;
    r->n_ctx_tokens = m->plan.n_ctx_tokens;
    r->load_map_ms = f->map_ms;
    r->load_metadata_ms = f->metadata_ms;
    r->load_tokenizer_ms = f->tokenizer_ms;
    r->load_plan_ms = f->plan_ms;
    r->load_template_ms = f->template_ms;
    r->load_weights_ms = m->weights_ms;
    r->weights_preloaded = m->readahead.filled;
    r->weights_locked = m->locked;
    r->kv_huge = m->kv.huge;
    r->workspace_huge = m->ws_huge;
    r->weights_huge = file_is_mapped(f) && !ahead->no_huge && !ahead->no_room;
    if (tokenizer_vocab(m->tokenizer)->pre_guessed)
        receipt_note(r, "%s\n", tokenizer_guessed);
    if (f->overrides.len > 0)
        receipt_note(r, "not as the file says: " STR_FMT "\n", STR_ARG(f->overrides));
    if (f->model.n_unused_tensors > 0)
        receipt_note(r, "%d tensors of the file are not used, the first is " STR_FMT "\n", f->model.n_unused_tensors,
                     STR_ARG(f->model.unused_tensor));
    if (!m->kv.huge)
        receipt_note(r, "the KV cache is in small pages: the system gave no 2 MB ones\n");
    if (!m->ws_huge)
        receipt_note(r, "the workspace is in small pages: the system gave no 2 MB ones\n");
    if (ahead->no_huge)
        receipt_note(r, "the weights are in small pages: the system gives no 2 MB ones for files\n");
    if (file_is_mapped(f) && !ahead->no_room && ahead->n_threads < READAHEAD_THREADS)
        receipt_note(r, ahead->n_threads ? "the weights are read ahead by one thread: a second could not be started\n"
                                         : "the weights are not read ahead: no thread could be started for it\n");
    if (ahead->no_room)
        receipt_note(r, "the weights are not read ahead: they are %llu MiB, free are %llu MiB\n",
                     (unsigned long long)(ahead->file_bytes >> 20), (unsigned long long)(ahead->room_bytes >> 20));
}

static void describe_chat(hearth_receipt *r, const struct hearth_stream *s)
{
    const struct chat_traits *t = chat_traits(s->chat);
    snprintf(r->template_from, sizeof r->template_from, "%s", s->model->file->template_from);
    snprintf(r->template_sha256, sizeof r->template_sha256, "%s", chat_sha256(s->chat));
    if (t->uses_date)
        snprintf(r->template_date, sizeof r->template_date, "%s", s->chat_input.date_text);
    receipt_note(r, "%s", s->chat_input.notes);
    if (s->request.n_stop && t->stop_text.len)
        receipt_note(r,
                     "no token of this file ends the template's answers: they stop where it would go on\n");
}

/* Parameters that were asked for and have no effect, and a file's order that could not be used. */
static void describe_sampling(hearth_receipt *r, const struct hearth_stream *s)
{
    const hearth_request *request = &s->request;
    const hearth_sampling *p = &request->sampling;
    const char *const *names = hearth_sampling_stages();
    bool steered = p->mirostat == 2;
    bool likeliest = p->temperature == 0 && sampling_order_has(&s->order, HEARTH_STAGE_temperature);
    char problem[160], dropped[HEARTH_ORDER_BYTES] = "", missing[HEARTH_ORDER_BYTES] = "";
    sampling_sequence_problem(s->model, problem, sizeof problem);
    if (problem[0])
        receipt_note(r, "general.sampling.sequence of the file is not used: %s\n", problem);
    for (int stage = 0; stage < HEARTH_N_STAGES; stage++) {
        if (!sampling_stage_wanted(p, stage))
            continue;
        bool has = sampling_order_has(&s->order, stage);
        char *to = !has ? missing : steered && !likeliest && sampling_stage_drops(stage) ? dropped : NULL;
        if (to)
            snprintf(to + strlen(to), HEARTH_ORDER_BYTES - strlen(to), " %s", names[stage]);
    }
    if (dropped[0])
        receipt_note(r, "without effect, because mirostat is on:%s\n", dropped);
    if (missing[0])
        receipt_note(r, "without effect, because the order of samplers does not name them:%s\n", missing);
    if (likeliest && steered)
        receipt_note(r, "without effect, because temperature is 0: mirostat\n");
}

static void draw_id(char *to)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    static atomic_uint_fast64_t n_requests;
    uint64_t id = rng_mix(rng_entropy() ^ atomic_fetch_add(&n_requests, 1));
    memcpy(to, "req-", 4);
    for (int i = 0; i < 13; i++)
        to[4 + i] = digits[id >> (5 * i) & 31];
}

/* What is known of the receipt before anything runs. */
static void begin_receipt(struct hearth_stream *s)
{
    hearth_receipt *r = &s->receipt;
    describe_model(r, s->model);
    if (s->chat)
        describe_chat(r, s);
    describe_sampling(r, s);
    if (s->request.request_id)
        snprintf(r->request_id, sizeof r->request_id, "%s", s->request.request_id);
    else
        draw_id(r->request_id);
    s->request.request_id = NULL;
    r->seed = s->request.seed;
    r->seed_drawn = !s->request.has_seed;
    r->sampling = s->request.sampling;
    memcpy(r->sampling_origin, s->request.sampling_origin, sizeof r->sampling_origin);
    r->n_logit_bias = s->request.n_logit_bias;
    r->ignore_eos = s->request.ignore_eos;
    r->speculate = s->request.speculate;
    if (r->speculate != HEARTH_SPECULATE_OFF && states_kept(&s->model->kv.states)) {
        r->speculate = HEARTH_SPECULATE_OFF;
        if (s->request.speculate > 0)
            receipt_note(r, "speculation is off: a recurrent state cannot be taken back to before a wrong draft\n");
    }
    if (r->speculate > 0 && s->model->observer.see) {
        r->speculate = HEARTH_SPECULATE_OFF;
        receipt_note(r, "speculation is off: somebody looks at the inputs of matrix products\n");
    }
}

struct hearth_stream *stream_create(struct hearth_model *model, const hearth_request *request, hearth_error *err)
{
    if (!check(model, request, err))
        return NULL;
    struct hearth_stream *s = mem_alloc(sizeof *s);
    if (!s || !lock_init(&s->lock)) {
        mem_free(s);
        fail_memory(err, "a request");
        return NULL;
    }
    atomic_init(&s->n_refs, 1);
    s->model = model;
    hearth_model_retain(model);
    s->ring = mem_alloc(STREAM_RING_BYTES);
    s->current = mem_alloc(STREAM_EVENT_MAX_BYTES);
    bool ok = s->ring && s->current ? copy_request(s, request, err) : fail_memory(err, "a request");
    if (!ok) {
        stream_unref(s);
        return NULL;
    }
    begin_receipt(s);
    s->submit_ns = clock_ns();
    return s;
}

void stream_unref(struct hearth_stream *s)
{
    if (atomic_fetch_sub(&s->n_refs, 1) != 1)
        return;
    hearth_model_release(s->model);
    token_list_free(&s->prompt);
    chat_input_free(&s->chat_input);
    sha256_free(s->digest);
    mem_free(s->vector);
    arena_free(&s->arena);
    mem_free(s->ring);
    mem_free(s->current);
    lock_destroy(&s->lock);
    mem_free(s);
}

/* ---- the ring ----
 *
 * A record is a header, the choice, the alternatives and the two texts, one after another, wrapping around. */

struct record {
    hearth_event_type type;
    int32_t id;
    uint32_t n_text, n_thinking;
    int n_alternatives;
    float logprob;
    hearth_end_reason reason;
    int n_prompt, n_cached, n_processed;
    double elapsed_ms;
    uint64_t logits_mix;
    uint16_t n_choice_tokens, n_choice_steps; /* both 0: there is none */
};
static_assert(sizeof(struct record) <= STREAM_RECORD_BYTES, "step.c counts on it");

static void ring_copy_in(struct hearth_stream *s, const void *bytes, size_t n)
{
    size_t at = s->tail % STREAM_RING_BYTES, first = min_size(n, STREAM_RING_BYTES - at);
    if (n) {
        memcpy(s->ring + at, bytes, first);
        memcpy(s->ring, (const uint8_t *)bytes + first, n - first);
    }
    s->tail += n;
}

static void ring_copy_out(struct hearth_stream *s, void *bytes, size_t n)
{
    size_t at = s->head % STREAM_RING_BYTES, first = min_size(n, STREAM_RING_BYTES - at);
    if (n) {
        memcpy(bytes, s->ring + at, first);
        memcpy((uint8_t *)bytes + first, s->ring, n - first);
    }
    s->head += n;
}

bool stream_has_room(struct hearth_stream *s)
{
    lock_take(&s->lock);
    bool room = STREAM_RING_BYTES - (s->tail - s->head) >= 2 * STREAM_EVENT_MAX_BYTES;
    lock_release(&s->lock);
    return room;
}

static void push_choice(struct hearth_stream *s, const hearth_choice *c)
{
    ring_copy_in(s, c, sizeof *c);
    ring_copy_in(s, c->steps, (size_t)c->n_steps * sizeof *c->steps);
    for (int i = 0; i < c->n_steps; i++)
        ring_copy_in(s, c->steps[i].logprobs, (size_t)c->n_tokens * sizeof *c->steps[i].logprobs);
    ring_copy_in(s, c->ids, (size_t)c->n_tokens * sizeof *c->ids);
}

static void push(struct hearth_stream *s, const hearth_event *e, bool end)
{
    struct record r = { .type = e->type,
                        .id = e->id,
                        .n_text = (uint32_t)e->n_bytes,
                        .n_thinking = (uint32_t)e->n_thinking_bytes,
                        .n_alternatives = e->n_alternatives,
                        .logprob = e->logprob,
                        .reason = e->reason,
                        .n_prompt = e->n_prompt_tokens,
                        .n_cached = e->n_cached_tokens,
                        .n_processed = e->n_processed_tokens,
                        .elapsed_ms = e->elapsed_ms,
                        .logits_mix = e->logits_mix };
    if (e->choice) {
        r.n_choice_tokens = (uint16_t)e->choice->n_tokens;
        r.n_choice_steps = (uint16_t)e->choice->n_steps;
    }
    lock_take(&s->lock);
    ring_copy_in(s, &r, sizeof r);
    if (e->choice)
        push_choice(s, e->choice);
    ring_copy_in(s, e->alternatives, (size_t)e->n_alternatives * sizeof *e->alternatives);
    ring_copy_in(s, e->text, e->n_bytes);
    ring_copy_in(s, e->thinking, e->n_thinking_bytes);
    s->ended = end;
    s->wake_due = true;
    lock_wake_all(&s->lock);
    lock_release(&s->lock);
}

void stream_push(struct hearth_stream *s, const hearth_event *e) { push(s, e, false); }
void stream_end(struct hearth_stream *s, const hearth_event *e) { push(s, e, true); }

bool stream_wake(struct hearth_stream *s)
{
    if (!s->wake_due)
        return false;
    s->wake_due = false;
    lock_take(&s->lock);
    void (*wake)(void *) = s->wake;
    void *arg = s->wake_arg;
    s->waking = wake != NULL;
    lock_release(&s->lock);
    if (!wake)
        return false;
    wake(arg); /* not under the lock: the caller may hold one of its own, and wait for ours */
    lock_take(&s->lock);
    s->waking = false;
    lock_wake_all(&s->lock);
    lock_release(&s->lock);
    return true;
}

/* ---- the reader ---- */

/* To the beginning of what the reader holds. Returns what is behind it there. */
static uint8_t *read_choice(struct hearth_stream *s, const struct record *r)
{
    hearth_choice *c = (hearth_choice *)(void *)s->current;
    hearth_choice_step *steps = (hearth_choice_step *)(void *)(c + 1);
    float *logprobs = (float *)(void *)(steps + r->n_choice_steps);
    size_t n = r->n_choice_tokens, n_steps = r->n_choice_steps;
    int32_t *ids = (int32_t *)(void *)(logprobs + n * n_steps);
    ring_copy_out(s, c, sizeof *c);
    ring_copy_out(s, steps, n_steps * sizeof *steps);
    ring_copy_out(s, logprobs, n * n_steps * sizeof *logprobs);
    ring_copy_out(s, ids, n * sizeof *ids);
    for (size_t i = 0; i < n_steps; i++)
        steps[i].logprobs = logprobs + i * n;
    c->steps = steps;
    c->ids = ids;
    return (uint8_t *)(ids + n);
}

static bool read_event(struct hearth_stream *s, hearth_event *e)
{
    struct record r;
    if (s->head == s->tail)
        return false;
    ring_copy_out(s, &r, sizeof r);
    uint8_t *behind = r.n_choice_steps ? read_choice(s, &r) : s->current;
    hearth_alternative *alternatives = (hearth_alternative *)(void *)behind;
    ring_copy_out(s, alternatives, (size_t)r.n_alternatives * sizeof *alternatives);
    char *text = (char *)(alternatives + r.n_alternatives);
    ring_copy_out(s, text, r.n_text);
    text[r.n_text] = 0;
    char *thinking = text + r.n_text + 1;
    ring_copy_out(s, thinking, r.n_thinking);
    thinking[r.n_thinking] = 0;
    *e = (hearth_event){ .type = r.type,
                         .id = r.id,
                         .text = text,
                         .n_bytes = r.n_text,
                         .thinking = thinking,
                         .n_thinking_bytes = r.n_thinking,
                         .logprob = r.logprob,
                         .alternatives = alternatives,
                         .n_alternatives = r.n_alternatives,
                         .reason = r.reason,
                         .n_prompt_tokens = r.n_prompt,
                         .n_cached_tokens = r.n_cached,
                         .n_processed_tokens = r.n_processed,
                         .elapsed_ms = r.elapsed_ms,
                         .logits_mix = r.logits_mix,
                         .choice = r.n_choice_steps ? (const hearth_choice *)(const void *)s->current : NULL };
    s->end_read = r.type == HEARTH_EVENT_END;
    return true;
}

static bool take(struct hearth_stream *s, hearth_event *e, bool wait)
{
    lock_take(&s->lock);
    while (wait && !s->end_read && s->head == s->tail)
        lock_wait(&s->lock);
    /* After the wait: the ring may have filled while we slept. */
    bool was_full = STREAM_RING_BYTES - (s->tail - s->head) < 2 * STREAM_EVENT_MAX_BYTES;
    bool got = !s->end_read && read_event(s, e);
    lock_release(&s->lock);
    if (got && was_full)
        engine_poke(s->model->engine); /* its sequence may run again */
    return got;
}

bool hearth_stream_poll(hearth_stream *s, hearth_event *event) { return take(s, event, false); }
bool hearth_stream_next(hearth_stream *s, hearth_event *event) { return take(s, event, true); }

void hearth_stream_on_wake(hearth_stream *s, void (*wake)(void *arg), void *arg)
{
    lock_take(&s->lock);
    while (s->waking)
        lock_wait(&s->lock);
    s->wake = wake;
    s->wake_arg = arg;
    lock_release(&s->lock);
}

void hearth_stream_cancel(hearth_stream *s)
{
    atomic_store(&s->cancelled, true);
    engine_poke(s->model->engine);
}

void hearth_stream_stop(hearth_stream *s)
{
    atomic_store(&s->stopped, true);
    hearth_stream_cancel(s);
}

static bool has_ended(const hearth_stream *cs)
{
    hearth_stream *s = (hearth_stream *)(uintptr_t)cs;
    lock_take(&s->lock);
    bool ended = s->ended;
    lock_release(&s->lock);
    return ended;
}

/* Neither changes once there is a token: a prompt that is read again is not counted again. */
void hearth_stream_prompt_tokens(const hearth_stream *s, int *n_tokens, int *n_cached)
{
    *n_tokens = (int)s->prompt.n;
    *n_cached = s->receipt.n_cached_tokens;
}

void hearth_stream_prompt_ids(const hearth_stream *s, const int32_t **ids, size_t *n_ids)
{
    *ids = s->prompt.ids;
    *n_ids = s->prompt.n;
}

const hearth_error *hearth_stream_error(const hearth_stream *s)
{
    static const hearth_error none;
    return has_ended(s) ? &s->error : &none;
}

const float *hearth_stream_vector(const hearth_stream *s, size_t *n)
{
    bool there = has_ended(s) && s->receipt.reason == HEARTH_END_STOP && s->vector;
    *n = there ? s->n_vector : 0;
    return there ? s->vector : NULL;
}

bool hearth_stream_receipt(const hearth_stream *s, hearth_receipt *out)
{
    if (!has_ended(s))
        return false;
    *out = s->receipt;
    out->weights_gb_per_s = atomic_load(&s->model->weights_gb_per_s);
    return true;
}

void hearth_stream_close(hearth_stream *s)
{
    if (!s)
        return;
    hearth_stream_cancel(s);
    stream_unref(s);
}
