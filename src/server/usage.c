/* usage.c: what is asked for and what it takes, in all and of each key; keys that are read again. */
#include "base/alloc.h"
#include "base/clock.h"
#include "server/core.h"

void times_add(struct times *t, double ms)
{
    t->n[hearth_time_bucket(ms / 1000)]++;
    t->sum_s += ms / 1000;
}

void usage_begin(struct exchange *x)
{
    if (!x->generates)
        return;
    x->server->usage.n_requests++;
    if (x->key)
        x->key->usage.n_requests++;
}

static void add_tokens(struct exchange *x, int64_t prompt, int64_t cached, int64_t output)
{
    x->tally.prompt_tokens += prompt;
    x->tally.cached_tokens += cached;
    x->tally.output_tokens += output;
    if (x->key)
        key_charge(x->key, prompt + output, clock_ns());
}

void usage_take(struct exchange *x, int i, const hearth_receipt *r)
{
    struct tally *t = &x->tally;
    bool first = i % x->ask.n == 0; /* answers to one prompt share it */
    add_tokens(x, first ? r->n_prompt_tokens : 0, first ? r->n_cached_tokens : 0, r->n_output_tokens);
    t->slot_ms += r->prefill_ms + r->decode_ms;
    if (!t->has_times || r->queue_ms > t->queue_ms)
        t->queue_ms = r->queue_ms;
    if (r->n_output_tokens > 0 && (t->first_token_ms == 0 || r->first_token_ms < t->first_token_ms))
        t->first_token_ms = r->first_token_ms;
    t->has_times = true;
    x->reply.choices[i].counted = true;
}

/* Answers that were given up: what was sent of them, and their prompts. They had a slot since they went to the engine,
 * as far as is known here. */
static void take_unended(struct exchange *x)
{
    for (int i = 0; x->reply.choices && i < x->n_streams; i++) {
        int n_prompt = 0, n_cached = 0;
        if (!x->streams[i] || x->reply.choices[i].counted || x->reply.choices[i].n_tokens == 0)
            continue;
        if (i % x->ask.n == 0)
            hearth_stream_prompt_tokens(x->streams[i], &n_prompt, &n_cached);
        add_tokens(x, n_prompt, n_cached, x->reply.choices[i].n_tokens);
        x->tally.slot_ms += clock_ms_since(x->submit_ns);
    }
}

static bool is_refusal(const struct problem *p)
{
    int status = problem_status(p);
    return status == 429 || status == 503;
}

static void add(struct usage *u, const struct exchange *x)
{
    bool problem = x->problem.code != PROBLEM_none;
    u->n_completed += x->ended && !problem;
    u->n_refused += problem && is_refusal(&x->problem);
    u->n_failed += problem && !is_refusal(&x->problem);
    u->n_cancelled += !x->ended && !problem;
    u->prompt_tokens += (uint64_t)x->tally.prompt_tokens;
    u->cached_tokens += (uint64_t)x->tally.cached_tokens;
    u->output_tokens += (uint64_t)x->tally.output_tokens;
    u->seconds += x->tally.slot_ms / 1000;
}

void usage_end(struct exchange *x)
{
    take_unended(x);
    if (!x->generates)
        return;
    add(&x->server->usage, x);
    if (x->key)
        add(&x->key->usage, x);
}

static void add_refusal(struct usage *u, const struct problem *p)
{
    u->n_requests++;
    if (is_refusal(p))
        u->n_refused++;
    else
        u->n_failed++;
}

void usage_refuse(struct server *s, const struct route *route, struct key *key, const struct problem *p)
{
    if (!route->endpoint->dialect)
        return;
    add_refusal(&s->usage, p);
    if (key)
        add_refusal(&key->usage, p);
}

static struct usage_row row_of(const struct key *key)
{
    const struct usage *u = &key->usage;
    uint64_t ended = u->n_completed + u->n_refused + u->n_failed + u->n_cancelled;
    return (struct usage_row){ .name = key->name, .n_running = (int)(u->n_requests - ended),
                               .n_at_once = key->n_at_once, .n_per_minute = key->n_per_minute, .usage = *u };
}

void usage_show(struct server *s, const struct key *key, struct load_figures *out)
{
    bool all = key && (key->is_observer || key->is_admin);
    out->sees_all = all;
    out->usage = s->usage;
    out->rows = s->rows;
    for (int i = 0; i < s->keys.n; i++)
        if (all || s->keys.key[i] == key)
            s->rows[out->n_rows++] = row_of(s->keys.key[i]);
}

/* ---- keys that are read again ---- */

void usage_take_keys(struct server *s)
{
    if (!atomic_load_explicit(&s->fresh_keys, memory_order_relaxed))
        return;
    struct keys *fresh = atomic_exchange(&s->fresh_keys, NULL);
    if (fresh)
        keys_adopt(&s->keys, fresh);
    mem_free(fresh);
}

static bool read_keys(struct server *s, const char *text, const char *name, int *n, hearth_error *err)
{
    struct keys *fresh = mem_alloc(sizeof *fresh);
    if (!fresh)
        return fail_memory(err, "the API keys");
    if (!keys_read(fresh, text, name, err)) {
        mem_free(fresh);
        return false;
    }
    *n = fresh->n;
    struct keys *unseen = atomic_exchange(&s->fresh_keys, fresh);
    if (unseen)
        keys_free(unseen);
    mem_free(unseen);
    return true;
}

bool server_read_keys(struct server *s, const char *text, const char *name, hearth_error *err)
{
    int n = 0;
    if (!read_keys(s, text, name, &n, err)) {
        log_say(s->options.log, LOG_LEVEL_ERROR, "keys", "the keys stay as they were: %s", err->message);
        return false;
    }
    struct log_line line;
    if (log_begin(&line, s->options.log, LOG_LEVEL_NOTICE, "keys")) {
        log_text(&line, "file", name);
        log_whole(&line, "keys", n);
        log_end(&line);
    }
    return true;
}
