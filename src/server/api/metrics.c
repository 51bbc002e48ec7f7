/* metrics.c: GET /metrics, in Prometheus' text format. docs/operating.md lists them: names stay. Nothing of a single
 * request; what a key has used is shown to keys that may see it. */
#include <stdio.h>

#include "base/clock.h"
#include "server/api/endpoints.h"

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put(struct buf *out, const char *name, const char *type, const char *help, double value)
{
    head(out, name, type, help);
    buf_printf(out, "%s %.17g\n", name, value);
}

static void put_label(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '"')
            buf_puts(out, "\\");
        buf_put(out, *text == '\n' ? " " : text, 1);
    }
}

/* name{model="a",more}: the braces only where there is something in them. A model is named where several are served. */
static void put_name(struct buf *out, const char *name, const char *suffix, const struct view *v, const char *more)
{
    bool several = v->n_all > 1;
    buf_printf(out, "%s%s", name, suffix);
    if (!several && !*more)
        return;
    buf_puts(out, "{");
    if (several) {
        buf_puts(out, "model=\"");
        put_label(out, v->model_id);
        buf_puts(out, *more ? "\"," : "\"");
    }
    buf_printf(out, "%s}", more);
}

/* ---- of the server ---- */

static void put_server(struct buf *out, const struct view *v, const struct load_figures *now)
{
    const struct {
        const char *name, *type, *help;
        double value;
    } rows[] = {
        { "hearth_ready", "gauge", "As /ready says: 1 but when the server is to end, or stands still.", now->ready },
        { "hearth_uptime_seconds", "gauge", "Since the server started.", now->uptime_s },
        { "hearth_http_requests_total", "counter", "Requests whose head was read.", (double)now->n_requests },
        { "hearth_requests_refused_total", "counter", "Answers 429 and 503.", (double)now->n_refused },
        { "hearth_requests_failed_total", "counter",
          "Requests to generate that were admitted and refused or failed.", (double)now->n_failed },
        { "hearth_requests_cancelled_total", "counter", "Clients that went away before.", (double)now->n_cancelled },
        { "hearth_queue_tokens", "gauge", "Prompt tokens of requests that wait, as far as they are counted.",
          (double)now->waiting_tokens },
        { "hearth_queue_tokens_limit", "gauge", "The most there may be.", (double)v->n_queue_tokens },
        { "hearth_connections", "gauge", "Open connections.", now->n_connections },
        { "hearth_connections_turned_away_total", "counter",
          "Connections of addresses that had as many as they may.", (double)now->n_turned_away },
        { "hearth_request_memory_used_bytes", "gauge", "Of the memory for requests.", (double)now->memory_used_bytes },
        { "hearth_request_memory_bytes", "gauge", "The memory for requests.", (double)v->memory_bytes },
        { "hearth_log_lines_lost_total", "counter", "Lines of the log that nobody took in time.",
          (double)now->n_lost_lines },
        { "hearth_process_resident_bytes", "gauge", "Memory of the process, pages of model files among it.",
          (double)now->memory.resident_bytes },
        { "hearth_process_anonymous_bytes", "gauge", "Of it what is in no file: its own.",
          (double)now->memory.anonymous_bytes },
        { "hearth_process_cpu_seconds_total", "counter", "Processor time of the process.",
          (double)clock_process_ns() / 1e9 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        put(out, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
    head(out, "hearth_build_info", "gauge", "What is running: 1.");
    const char *isa = hearth_isa(NULL);
    buf_printf(out, "hearth_build_info{version=\"%s\",isa=\"%s\",arithmetic_revision=\"%d\"} 1\n", hearth_version(),
               isa ? isa : "", hearth_arithmetic_revision());
}

/* ---- of each model: where several are served, with its name ---- */

enum of_model {
    RUNNING, WAITING, SLOTS, COMPLETED, PROMPT, CACHED, PROMPT_S, OUTPUT, OUTPUT_S, KV, KV_USE, STEPS, STEP_AGE,
    PREEMPTIONS, DRAFTED, ACCEPTED, ASLEEP, WAKES, SLEEPS, N_OF_MODEL
};

static double kv_use(const hearth_model_now *now)
{
    return now->n_pages ? (double)now->n_used_pages / now->n_pages : 0;
}

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
        [KV_USE] = kv_use(&load->engine),
        [STEPS] = (double)load->engine.n_steps,
        [STEP_AGE] = load->engine.since_step_ms >= 0 ? load->engine.since_step_ms / 1000 : 0,
        [PREEMPTIONS] = (double)load->n_preemptions,
        [DRAFTED] = (double)load->n_draft_tokens,
        [ACCEPTED] = (double)load->n_accepted_tokens,
        [ASLEEP] = load->engine.asleep,
        [WAKES] = (double)load->engine.n_wakes,
        [SLEEPS] = (double)load->engine.n_sleeps,
    };
    return values[what];
}

static void put_figures(struct buf *out, const struct view *v, const struct load_figures *now)
{
    static const struct {
        const char *name, *type, *help;
    } rows[N_OF_MODEL] = {
        [RUNNING] = { "hearth_requests_running", "gauge", "Requests in the engine's slots." },
        [WAITING] = { "hearth_queue_depth", "gauge", "Requests that wait." },
        [SLOTS] = { "hearth_slots", "gauge", "Answers computed at once." },
        [COMPLETED] = { "hearth_requests_completed_total", "counter", "Answers that came to their end." },
        [PROMPT] = { "hearth_prompt_tokens_total", "counter", "Tokens of prompts, with those that were still there." },
        [CACHED] = { "hearth_prompt_tokens_cached_total", "counter",
                     "Tokens of prompts that were not computed again." },
        [PROMPT_S] = { "hearth_prompt_seconds_total", "counter",
                       "Time from the first prompt token to the first of the answer." },
        [OUTPUT] = { "hearth_output_tokens_total", "counter", "Tokens of answers." },
        [OUTPUT_S] = { "hearth_output_seconds_total", "counter",
                       "Time from the first token of answers to their last." },
        [KV] = { "hearth_kv_cache_bytes", "gauge", "The pool of keys and values." },
        [KV_USE] = { "hearth_kv_utilisation", "gauge", "Of that pool what requests in slots have, from 0 to 1." },
        [STEPS] = { "hearth_steps_total", "counter", "Steps that the engine began." },
        [STEP_AGE] = { "hearth_step_age_seconds", "gauge", "Since the last step began; 0: none did." },
        [PREEMPTIONS] = { "hearth_preemptions_total", "counter",
                          "Times that answers gave their keys and values to older ones." },
        [DRAFTED] = { "hearth_draft_tokens_total", "counter", "Tokens that were computed before it was known that they "
                      "come." },
        [ACCEPTED] = { "hearth_draft_tokens_accepted_total", "counter", "Of them those that came." },
        [ASLEEP] = { "hearth_model_asleep", "gauge", "1: it sleeps, and a request wakes it." },
        [WAKES] = { "hearth_model_wakes_total", "counter", "Times that it woke." },
        [SLEEPS] = { "hearth_model_sleeps_total", "counter", "Times that it went to sleep." },
    };
    for (int r = 0; r < N_OF_MODEL; r++) {
        head(out, rows[r].name, rows[r].type, rows[r].help);
        for (int i = 0; i < v->n_all; i++) {
            put_name(out, rows[r].name, "", &v->all[i], "");
            buf_printf(out, " %.17g\n", value_of((enum of_model)r, &v->all[i], &now->of[i]));
        }
    }
}

/* Memory for requests is there once for all models, and has its own lines. */
static void put_memory(struct buf *out, const struct view *v, const struct load_figures *now)
{
    head(out, "hearth_memory_bytes", "gauge", "Memory as planned, by part.");
    for (int i = 0; i < v->n_all; i++) {
        const hearth_plan *p = &v->all[i].plan;
        const struct {
            const char *part;
            uint64_t bytes;
        } parts[] = { { "part=\"weights\"", p->weights_bytes }, { "part=\"kv_cache\"", p->kv_bytes },
                      { "part=\"workspace\"", p->workspace_bytes }, { "part=\"vocabulary\"", p->vocabulary_bytes } };
        for (size_t k = 0; k < ARRAY_LEN(parts); k++) {
            put_name(out, "hearth_memory_bytes", "", &v->all[i], parts[k].part);
            buf_printf(out, " %llu\n", (unsigned long long)parts[k].bytes);
        }
    }
    put(out, "hearth_program_memory_bytes", "gauge", "Memory planned for the program itself.",
        (double)v->plan.program_bytes);
    head(out, "hearth_kv_pages", "gauge", "Pages of the pool of keys and values: of requests in slots, kept of what is "
         "over, free.");
    for (int i = 0; i < v->n_all; i++) {
        const hearth_model_now *e = &now->of[i].engine;
        uint32_t taken = e->n_used_pages + e->n_kept_pages, free = e->n_pages > taken ? e->n_pages - taken : 0;
        put_name(out, "hearth_kv_pages", "", &v->all[i], "state=\"used\"");
        buf_printf(out, " %u\n", e->n_used_pages);
        put_name(out, "hearth_kv_pages", "", &v->all[i], "state=\"kept\"");
        buf_printf(out, " %u\n", e->n_kept_pages);
        put_name(out, "hearth_kv_pages", "", &v->all[i], "state=\"free\"");
        buf_printf(out, " %u\n", free);
    }
}

/* What came back to the system when memory was short. */
static void put_shortage(struct buf *out, const struct memory_figures *m)
{
    static const char *const labels[HEARTH_N_GIVES] = { [HEARTH_GIVES_FREE] = "free_pages",
                                                        [HEARTH_GIVES_KEPT] = "kept_pages",
                                                        [HEARTH_GIVES_MODELS] = "idle_models" };
    static const char times[] = "hearth_memory_given_back_total", bytes[] = "hearth_memory_given_back_bytes_total";
    put(out, "hearth_memory_short", "gauge", "Whether memory is short around the server, from 0 to 1.", m->is_short);
    put(out, "hearth_memory_shortages_total", "counter", "Times that it became so.", (double)m->n_shortages);
    head(out, times, "counter", "Times that memory was given back because of it, by what it had been for.");
    for (int i = 0; i < HEARTH_N_GIVES; i++)
        buf_printf(out, "%s{what=\"%s\"} %llu\n", times, labels[i], (unsigned long long)m->given[i].n_times);
    head(out, bytes, "counter", "Bytes of it.");
    for (int i = 0; i < HEARTH_N_GIVES; i++)
        buf_printf(out, "%s{what=\"%s\"} %llu\n", bytes, labels[i], (unsigned long long)m->given[i].bytes);
}

static void put_times(struct buf *out, const char *name, const struct view *v, const uint64_t *n, double sum_s)
{
    uint64_t all = 0;
    for (int i = 0; i < HEARTH_N_TIMES; i++) {
        char bound[40] = "le=\"+Inf\"";
        if (i < HEARTH_N_TIMES - 1)
            snprintf(bound, sizeof bound, "le=\"%g\"", hearth_time_bounds_s[i]);
        put_name(out, name, "_bucket", v, bound);
        buf_printf(out, " %llu\n", (unsigned long long)(all += n[i]));
    }
    put_name(out, name, "_sum", v, "");
    buf_printf(out, " %.9g\n", sum_s);
    put_name(out, name, "_count", v, "");
    buf_printf(out, " %llu\n", (unsigned long long)all);
}

static void put_histograms(struct buf *out, const struct view *v, const struct load_figures *now)
{
    static const char queue[] = "hearth_queue_seconds", ttft[] = "hearth_ttft_seconds",
                      gaps[] = "hearth_inter_token_seconds";
    head(out, queue, "histogram", "Time that answers waited for a slot.");
    for (int i = 0; i < v->n_all; i++)
        put_times(out, queue, &v->all[i], now->of[i].queue.n, now->of[i].queue.sum_s);
    head(out, ttft, "histogram", "Time from when an answer was handed to the engine to its first token.");
    for (int i = 0; i < v->n_all; i++)
        put_times(out, ttft, &v->all[i], now->of[i].first_token.n, now->of[i].first_token.sum_s);
    head(out, gaps, "histogram", "Time between two tokens of an answer.");
    for (int i = 0; i < v->n_all; i++)
        put_times(out, gaps, &v->all[i], now->of[i].engine.gaps, now->of[i].engine.gaps_s);
}

/* What inference gateways read (gateway-api-inference-extension, proposal 003), under the names of vLLM. */
static void put_for_gateways(struct buf *out, const struct view *v, const struct load_figures *now)
{
    head(out, "vllm:num_requests_waiting", "gauge", "hearth_queue_depth, for inference gateways.");
    for (int i = 0; i < v->n_all; i++) {
        buf_puts(out, "vllm:num_requests_waiting{model_name=\"");
        put_label(out, v->all[i].model_id);
        buf_printf(out, "\"} %d\n", now->of[i].n_waiting);
    }
    head(out, "vllm:kv_cache_usage_perc", "gauge", "hearth_kv_utilisation, for inference gateways.");
    for (int i = 0; i < v->n_all; i++) {
        buf_puts(out, "vllm:kv_cache_usage_perc{model_name=\"");
        put_label(out, v->all[i].model_id);
        buf_printf(out, "\"} %.17g\n", kv_use(&now->of[i].engine));
    }
}

/* ---- of each key, for those who may see it ---- */

enum of_key { REQUESTS, KEY_RUNNING, REFUSED, KEY_PROMPT, KEY_CACHED, KEY_OUTPUT, SECONDS, N_OF_KEY };

static double value_of_key(enum of_key what, const struct usage_row *row)
{
    const double values[N_OF_KEY] = {
        [REQUESTS] = (double)row->usage.n_requests,       [KEY_RUNNING] = row->n_running,
        [REFUSED] = (double)row->usage.n_refused,         [KEY_PROMPT] = (double)row->usage.prompt_tokens,
        [KEY_CACHED] = (double)row->usage.cached_tokens,  [KEY_OUTPUT] = (double)row->usage.output_tokens,
        [SECONDS] = row->usage.seconds,
    };
    return values[what];
}

static void put_keys(struct buf *out, const struct load_figures *now)
{
    static const struct {
        const char *name, *type, *help;
    } rows[N_OF_KEY] = {
        [REQUESTS] = { "hearth_key_requests_total", "counter", "Requests to generate of a key, refused ones too." },
        [KEY_RUNNING] = { "hearth_key_requests_running", "gauge", "Of them those that run or wait." },
        [REFUSED] = { "hearth_key_requests_refused_total", "counter", "Of them those that were refused (429, 503)." },
        [KEY_PROMPT] = { "hearth_key_prompt_tokens_total", "counter", "Tokens of its prompts." },
        [KEY_CACHED] = { "hearth_key_prompt_tokens_cached_total", "counter", "Of them those not computed again." },
        [KEY_OUTPUT] = { "hearth_key_output_tokens_total", "counter", "Tokens of its answers." },
        [SECONDS] = { "hearth_key_seconds_total", "counter", "Time that its answers had a slot." },
    };
    for (int r = 0; now->sees_all && r < N_OF_KEY; r++) {
        head(out, rows[r].name, rows[r].type, rows[r].help);
        for (int i = 0; i < now->n_rows; i++) {
            buf_printf(out, "%s{key=\"", rows[r].name);
            put_label(out, now->rows[i].name);
            buf_printf(out, "\"} %.17g\n", value_of_key((enum of_key)r, &now->rows[i]));
        }
    }
}

struct figure {
    const char *name, *type, *help;
    uint64_t value;
};

static void put_all(struct buf *out, const struct figure *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put(out, rows[i].name, rows[i].type, rows[i].help, (double)rows[i].value);
}

/* Of the cache on disk, when there is one. */
static void put_disk_cache(struct buf *out, const hearth_disk_cache *c)
{
    const struct figure rows[] = {
        { "hearth_disk_cache_pages", "gauge", "Pages of 64 tokens on disk.", c->n_pages },
        { "hearth_disk_cache_bytes", "gauge", "Bytes of them.", c->bytes },
        { "hearth_disk_cache_limit_bytes", "gauge", "The most there may be.", c->most_bytes },
        { "hearth_disk_cache_waiting", "gauge", "Copies on their way to disk.", c->n_waiting },
        { "hearth_disk_cache_read_pages_total", "counter", "Pages read instead of computed.", c->n_read },
        { "hearth_disk_cache_read_bytes_total", "counter", "Bytes of them.", c->read_bytes },
        { "hearth_disk_cache_written_pages_total", "counter", "Pages written.", c->n_written },
        { "hearth_disk_cache_written_bytes_total", "counter", "Bytes of them.", c->written_bytes },
        { "hearth_disk_cache_dropped_pages_total", "counter", "Pages that were not written: no time, no room.",
          c->n_dropped },
        { "hearth_disk_cache_removed_pages_total", "counter", "Pages removed for newer ones.", c->n_removed },
        { "hearth_disk_cache_unusable_files_total", "counter", "Damaged files, removed.", c->n_unusable },
        { "hearth_disk_cache_foreign_files", "gauge", "Files of others in the folder, at the start.", c->n_foreign },
        { "hearth_disk_cache_read_errors_total", "counter", "Reads that the system refused.", c->n_read_failed },
        { "hearth_disk_cache_write_errors_total", "counter", "Writes that the system refused.", c->n_write_failed },
    };
    put_all(out, rows, ARRAY_LEN(rows));
}

/* Of the flight recorder, when there is one. */
static void put_recorder(struct buf *out, const struct recorder_figures *r)
{
    const struct figure rows[] = {
        { "hearth_record_written_total", "counter", "Answers that were recorded.", r->n_written },
        { "hearth_record_dropped_total", "counter", "Answers that were not: too many at once, or trouble for seconds.",
          r->n_dropped },
        { "hearth_record_removed_total", "counter", "Recorded answers that were too old, or too many.", r->n_removed },
        { "hearth_record_failures_total", "counter", "Tries to write that failed.", r->n_failed },
        { "hearth_record_waiting", "gauge", "Answers on their way to the database.", r->n_waiting },
        { "hearth_record_bytes", "gauge", "Of the database's file.", r->bytes },
    };
    put_all(out, rows, ARRAY_LEN(rows));
}

static bool get(const struct view *v, const struct load_figures *now, const char *tail, struct buf *out,
                struct problem *p)
{
    (void)tail;
    put_server(out, v, now);
    put_figures(out, v, now);
    put_memory(out, v, now);
    put_shortage(out, &now->memory);
    put_histograms(out, v, now);
    put_for_gateways(out, v, now);
    put_keys(out, now);
    if (now->has_disk_cache)
        put_disk_cache(out, &now->disk_cache);
    if (now->recorder.on)
        put_recorder(out, &now->recorder);
    return !out->failed || ask_no_memory(p);
}

const struct endpoint endpoint_metrics = { .get = get, .memory = MEMORY_OF_PROCESS,
                                           .content_type = "text/plain; version=0.0.4; charset=utf-8" };
