/* metrics.c: GET /metrics, in Prometheus' text format. Totals only: nothing of a single request. */
#include "server/api/endpoints.h"

static void put(struct buf *out, const char *name, const char *type, const char *help, double value)
{
    buf_printf(out, "# HELP hearth_%s %s\n# TYPE hearth_%s %s\nhearth_%s %.17g\n", name, help, name, type, name, value);
}

static bool get(const struct view *v, const struct load_figures *now, const char *tail, struct buf *out,
                struct problem *p)
{
    (void)tail;
    put(out, "http_requests_total", "counter", "Requests whose head was read.", (double)now->n_requests);
    put(out, "requests_completed_total", "counter", "Answers that came to their end.", (double)now->n_completed);
    put(out, "requests_cancelled_total", "counter", "Clients that went away before.", (double)now->n_cancelled);
    put(out, "requests_failed_total", "counter", "Requests to generate that were admitted and refused or failed.",
        (double)now->n_failed);
    put(out, "requests_refused_total", "counter", "Answers 429 and 503.", (double)now->n_refused);
    put(out, "requests_running", "gauge", "Requests in the engine's slots.", now->n_running);
    put(out, "queue_depth", "gauge", "Requests that wait.", now->n_waiting);
    put(out, "slots", "gauge", "Answers computed at once.", v->n_parallel);
    put(out, "connections", "gauge", "Open connections.", now->n_connections);
    put(out, "prompt_tokens_total", "counter", "Tokens of prompts, with those that were still there.",
        (double)now->prompt_tokens);
    put(out, "prompt_tokens_cached_total", "counter", "Tokens of prompts that were not computed again.",
        (double)now->cached_tokens);
    put(out, "prompt_seconds_total", "counter", "Time from the first prompt token to the first of the answer.",
        now->prompt_ms / 1000);
    put(out, "output_tokens_total", "counter", "Tokens of answers.", (double)now->output_tokens);
    put(out, "output_seconds_total", "counter", "Time from the first token of answers to their last.",
        now->output_ms / 1000);
    put(out, "request_memory_used_bytes", "gauge", "Of the memory for requests.", (double)now->memory_used_bytes);
    put(out, "request_memory_bytes", "gauge", "The memory for requests.", (double)v->memory_bytes);
    put(out, "kv_cache_bytes", "gauge", "The pool of keys and values.", (double)v->plan.kv_bytes);
    put(out, "uptime_seconds", "gauge", "Since the server started.", now->uptime_s);
    return !out->failed || ask_no_memory(p);
}

const struct endpoint endpoint_metrics = { .get = get, .content_type = "text/plain; version=0.0.4; charset=utf-8" };
