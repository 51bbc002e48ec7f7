/* metrics.c: GET /metrics, in Prometheus' text format. Totals only: nothing of a single request. */
#include "server/api/endpoints.h"

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP hearth_%s %s\n# TYPE hearth_%s %s\n", name, help, name, type);
}

static void put(struct buf *out, const char *name, const char *type, const char *help, double value)
{
    head(out, name, type, help);
    buf_printf(out, "hearth_%s %.17g\n", name, value);
}

static void put_label(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '"')
            buf_puts(out, "\\");
        buf_put(out, *text == '\n' ? " " : text, 1);
    }
}

/* What each model has of its own: where several are served, with its name. */
enum of_model { RUNNING, WAITING, SLOTS, COMPLETED, PROMPT, CACHED, PROMPT_S, OUTPUT, OUTPUT_S, KV, N_OF_MODEL };

static double value_of(enum of_model what, const struct view *v, const struct model_load *load)
{
    const double values[N_OF_MODEL] = {
        [RUNNING] = load->n_running,
        [WAITING] = load->n_waiting,
        [SLOTS] = v->n_parallel,
        [COMPLETED] = (double)load->n_completed,
        [PROMPT] = (double)load->prompt_tokens,
        [CACHED] = (double)load->cached_tokens,
        [PROMPT_S] = load->prompt_ms / 1000,
        [OUTPUT] = (double)load->output_tokens,
        [OUTPUT_S] = load->output_ms / 1000,
        [KV] = (double)v->plan.kv_bytes,
    };
    return values[what];
}

static void put_of_models(struct buf *out, const struct view *v, const struct load_figures *now)
{
    static const struct {
        const char *name, *type, *help;
    } rows[N_OF_MODEL] = {
        [RUNNING] = { "requests_running", "gauge", "Requests in the engine's slots." },
        [WAITING] = { "queue_depth", "gauge", "Requests that wait." },
        [SLOTS] = { "slots", "gauge", "Answers computed at once." },
        [COMPLETED] = { "requests_completed_total", "counter", "Answers that came to their end." },
        [PROMPT] = { "prompt_tokens_total", "counter", "Tokens of prompts, with those that were still there." },
        [CACHED] = { "prompt_tokens_cached_total", "counter", "Tokens of prompts that were not computed again." },
        [PROMPT_S] = { "prompt_seconds_total", "counter",
                       "Time from the first prompt token to the first of the answer." },
        [OUTPUT] = { "output_tokens_total", "counter", "Tokens of answers." },
        [OUTPUT_S] = { "output_seconds_total", "counter", "Time from the first token of answers to their last." },
        [KV] = { "kv_cache_bytes", "gauge", "The pool of keys and values." },
    };
    for (int r = 0; r < N_OF_MODEL; r++) {
        head(out, rows[r].name, rows[r].type, rows[r].help);
        for (int i = 0; i < v->n_all; i++) {
            buf_printf(out, "hearth_%s", rows[r].name);
            if (v->n_all > 1) {
                buf_puts(out, "{model=\"");
                put_label(out, v->all[i].model_id);
                buf_puts(out, "\"}");
            }
            buf_printf(out, " %.17g\n", value_of((enum of_model)r, &v->all[i], &now->of[i]));
        }
    }
}

static bool get(const struct view *v, const struct load_figures *now, const char *tail, struct buf *out,
                struct problem *p)
{
    (void)tail;
    put(out, "http_requests_total", "counter", "Requests whose head was read.", (double)now->n_requests);
    put(out, "requests_cancelled_total", "counter", "Clients that went away before.", (double)now->n_cancelled);
    put(out, "requests_failed_total", "counter", "Requests to generate that were admitted and refused or failed.",
        (double)now->n_failed);
    put(out, "requests_refused_total", "counter", "Answers 429 and 503.", (double)now->n_refused);
    put(out, "connections_turned_away_total", "counter", "Connections of addresses that had as many as they may.",
        (double)now->n_turned_away);
    put(out, "queue_tokens", "gauge", "Prompt tokens of requests that wait, as far as they are counted.",
        (double)now->waiting_tokens);
    put(out, "queue_tokens_limit", "gauge", "The most there may be.", (double)v->n_queue_tokens);
    put(out, "connections", "gauge", "Open connections.", now->n_connections);
    put(out, "request_memory_used_bytes", "gauge", "Of the memory for requests.", (double)now->memory_used_bytes);
    put(out, "request_memory_bytes", "gauge", "The memory for requests.", (double)v->memory_bytes);
    put(out, "uptime_seconds", "gauge", "Since the server started.", now->uptime_s);
    put_of_models(out, v, now);
    return !out->failed || ask_no_memory(p);
}

const struct endpoint endpoint_metrics = { .get = get, .content_type = "text/plain; version=0.0.4; charset=utf-8" };
