/* journal.c: a line in the log for each request, and the state of the engine when somebody asks. Never a text that a
 * client sent: paths are those of our routes, names those of keys, and a refusal is its code. */
#include <string.h>

#include "server/core.h"

static enum log_level level_of(int status)
{
    if (status == 429 || status == 503 || status == 504)
        return LOG_LEVEL_WARN;
    return status == 500 ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO;
}

static void put_problem(struct log_line *line, const struct problem *p)
{
    log_text(line, "error", problem_table[p->code].code);
    if (p->code == PROBLEM_server_error || p->code == PROBLEM_model_error) /* ours, and about nobody's text */
        log_text(line, "message", p->message);
}

static void put_client(struct log_line *line, const struct ip *client)
{
    char text[IP_TEXT_ROOM];
    ip_text(client, text);
    log_text(line, "client", text);
}

/* ---- requests with a body ---- */

int exchange_status(const struct exchange *x)
{
    if (x->begun)
        return 200;
    if (x->problem.code != PROBLEM_none)
        return problem_status(&x->problem);
    return x->answered ? 200 : 0;
}

static const char *finish_of(const struct exchange *x)
{
    if (x->problem.code != PROBLEM_none)
        return "error";
    if (!x->answered)
        return "gone";
    return x->generates && x->reply.choices ? reply_finish(&x->reply.choices[0]) : NULL;
}

static void put_answers(struct log_line *line, const struct exchange *x)
{
    const struct tally *t = &x->tally;
    log_whole(line, "prompt_tokens", t->prompt_tokens);
    log_whole(line, "cached_tokens", t->cached_tokens);
    log_whole(line, "output_tokens", t->output_tokens);
    if (x->submit_ns)
        log_ms(line, "read_ms", (double)(x->submit_ns - x->start_ns) / 1e6);
    if (t->has_times)
        log_ms(line, "queue_ms", t->queue_ms);
    if (t->first_token_ms > 0)
        log_ms(line, "first_token_ms", t->first_token_ms);
}

void journal_exchange(const struct exchange *x)
{
    const struct server *s = x->server;
    struct log_line line;
    int status = exchange_status(x);
    if (!log_begin(&line, s->options.log, level_of(status), "request"))
        return;
    log_text(&line, "id", x->id);
    log_text(&line, "key", x->key ? x->key->name : NULL);
    put_client(&line, &x->client);
    log_text(&line, "method", x->route->method);
    log_text(&line, "path", x->route->path);
    if (x->placed || s->options.n_models == 1)
        log_text(&line, "model", s->views[x->model].model_id);
    log_whole(&line, "status", status);
    log_text(&line, "finish", finish_of(x));
    if (x->problem.code != PROBLEM_none)
        put_problem(&line, &x->problem);
    if (x->generates)
        put_answers(&line, x);
    log_ms(&line, "total_ms", clock_ms_since(x->start_ns));
    if (x->generates)
        log_flag(&line, "stream", x->ask.stream);
    log_end(&line);
}

/* ---- all others ---- */

/* Ours, not the client's: that may have anything in it. */
static const char *known_path(const char *method, const char *path)
{
    struct problem p;
    const char *tail;
    const struct route *route = route_find(method, path, &tail, &p);
    return route ? route->path : NULL;
}

static const char *known_method(const char *method)
{
    static const char *const known[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS" };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(method, known[i]) == 0)
            return known[i];
    return NULL;
}

void journal_answer(struct server *s, int status, const char *id, const struct problem *p)
{
    const struct asking *a = &s->asking;
    struct log_line line;
    bool changes = strcmp(a->method, "DELETE") == 0 || strcmp(a->method, "POST") == 0;
    bool quiet = status < 400 && !changes; /* probes and pages, again and again */
    if (a->exchange || !log_begin(&line, s->options.log, quiet ? LOG_LEVEL_DEBUG : level_of(status), "request"))
        return;
    log_text(&line, "id", id);
    log_text(&line, "key", a->key ? a->key->name : NULL);
    put_client(&line, &a->client);
    log_text(&line, "method", known_method(a->method));
    log_text(&line, "path", known_path(a->method, a->path));
    log_whole(&line, "status", status);
    if (p && p->code != PROBLEM_none)
        put_problem(&line, p);
    log_ms(&line, "total_ms", clock_ms_since(a->start_ns));
    log_end(&line);
}

/* ---- models that sleep and wake ---- */

static void put_turn(struct server *s, const hearth_turn *turn)
{
    struct log_line line;
    const char *name = NULL;
    bool slept = turn->why != HEARTH_SLEEP_NOT;
    for (int i = 0; i < s->options.n_models; i++)
        if (s->served[i].model == turn->model)
            name = s->views[i].model_id;
    if (!log_begin(&line, s->options.log, LOG_LEVEL_INFO, "model"))
        return;
    log_text(&line, "model", name);
    log_text(&line, "state", slept ? "asleep" : "ready");
    log_text(&line, "why", slept ? hearth_sleep_name(turn->why) : "wanted");
    log_ms(&line, slept ? "awake_ms" : "waited_ms", turn->ms);
    log_whole(&line, "bytes", (int64_t)turn->bytes);
    log_end(&line);
}

void journal_turns(struct server *s)
{
    enum { AT_ONCE = 16 };
    hearth_turn turns[AT_ONCE];
    uint64_t n_forgotten = 0;
    for (size_t n = AT_ONCE; n == AT_ONCE;) {
        n = hearth_engine_turns(s->options.engine, &s->n_turns_seen, turns, AT_ONCE, &n_forgotten);
        for (size_t i = 0; i < n; i++)
            put_turn(s, &turns[i]);
    }
    if (n_forgotten)
        log_say(s->options.log, LOG_LEVEL_INFO, "model", "%llu times more models woke or went to sleep",
                (unsigned long long)n_forgotten);
}

/* ---- the state ---- */

static const char *name_of(hearth_slot_state state)
{
    static const char *const names[] = {
        [HEARTH_SLOT_FREE] = "free",     [HEARTH_SLOT_READING] = "reading",     [HEARTH_SLOT_ANSWERING] = "answering",
        [HEARTH_SLOT_PAUSED] = "paused", [HEARTH_SLOT_PREEMPTED] = "preempted",
    };
    return (size_t)state < ARRAY_LEN(names) ? names[state] : "";
}

static void dump_slots(struct server *s, int model)
{
    enum { MOST = 64 };
    hearth_slot slots[MOST];
    int n = hearth_model_slots(s->served[model].model, slots, MOST);
    for (int i = 0; i < min_int(n, MOST); i++) {
        struct log_line line;
        if (slots[i].state == HEARTH_SLOT_FREE || !log_begin(&line, s->options.log, LOG_LEVEL_NOTICE, "state"))
            continue;
        log_text(&line, "model", s->views[model].model_id);
        log_whole(&line, "slot", i);
        log_text(&line, "slot_state", name_of(slots[i].state));
        log_text(&line, "id", slots[i].request_id);
        log_whole(&line, "prompt_tokens", slots[i].n_prompt_tokens);
        log_whole(&line, "done_tokens", slots[i].n_done_tokens);
        log_whole(&line, "output_tokens", slots[i].n_output_tokens);
        log_whole(&line, "kv_pages", slots[i].n_pages);
        log_end(&line);
    }
}

static void dump_model(struct server *s, int model)
{
    struct log_line line;
    hearth_model_now now;
    hearth_model_look(s->served[model].model, &now);
    if (!log_begin(&line, s->options.log, LOG_LEVEL_NOTICE, "state"))
        return;
    log_text(&line, "model", s->views[model].model_id);
    log_whole(&line, "slots", s->options.n_parallel);
    log_whole(&line, "requests", atomic_load(&s->served[model].n_active));
    log_whole(&line, "kv_pages", now.n_pages);
    log_whole(&line, "kv_used_pages", now.n_used_pages);
    log_whole(&line, "kv_kept_pages", now.n_kept_pages);
    log_whole(&line, "steps", (int64_t)now.n_steps);
    log_flag(&line, "asleep", now.asleep);
    if (now.since_step_ms >= 0)
        log_ms(&line, "since_step_ms", now.since_step_ms);
    log_end(&line);
}

void server_dump(struct server *s)
{
    struct log_line line;
    hearth_engine_queue q;
    hearth_engine_look(s->options.engine, &q);
    if (!log_begin(&line, s->options.log, LOG_LEVEL_NOTICE, "state"))
        return;
    log_ms(&line, "uptime_s", clock_ms_since(s->start_ns) / 1000);
    log_flag(&line, "draining", atomic_load(&s->draining));
    log_whole(&line, "connections", atomic_load(&s->n_connections));
    log_whole(&line, "requests", server_n_active(s));
    log_whole(&line, "raw_requests", q.n_raw);
    log_whole(&line, "waiting_requests", q.n_waiting);
    log_whole(&line, "waiting_tokens", (int64_t)q.n_waiting_tokens);
    log_whole(&line, "memory_used_bytes", (int64_t)atomic_load(&s->memory.used));
    log_end(&line);
    for (int i = 0; i < s->options.n_models; i++) {
        dump_model(s, i);
        dump_slots(s, i);
    }
}
