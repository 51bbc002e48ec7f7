/* start_screen.c: what a person wants to know when the server has started. */
#include <string.h>

#include "server/core.h"
#include "server/port.h"

static void put_memory(const hearth_plan *p, const char *of, struct buf *out)
{
    double mib = 1.0 / (1 << 20);
    buf_printf(out,
               "memory    weights %.0f MiB (file pages) + KV cache %.0f MiB (%s) + workspace %.0f MiB + vocabulary "
               "%.0f MiB + program %.0f MiB + requests %.0f MiB = %.0f MiB, of %s%.0f MiB\n",
               (double)p->weights_bytes * mib, (double)p->kv_bytes * mib, hearth_kv_type_name(p->kv_type),
               (double)p->workspace_bytes * mib, (double)p->vocabulary_bytes * mib, (double)p->program_bytes * mib,
               (double)p->request_bytes * mib, (double)p->total_bytes * mib, of,
               (double)p->budget_bytes * mib);
}

static void put_model(const struct view *v, struct buf *out)
{
    buf_printf(out, "model     %s\n", v->model_id);
    buf_printf(out, "window    %d tokens a request: %s\n", v->plan.n_ctx_tokens, v->plan.reason);
}

static void put_preset(const struct view *v, struct buf *out)
{
    if (!v->preset)
        return;
    buf_puts(out, "preset    ");
    preset_put(v, out);
    buf_puts(out, "\n");
}

static void put_chat(const struct view *v, struct buf *out)
{
    if (!v->has_template)
        buf_printf(out, "chat      no: this model has no chat template%s; completions work\n",
                   v->n_all > 1 ? "" : " (--chat-template)");
}

static void put_one(const struct view *v, struct buf *out)
{
    put_model(v, out);
    buf_printf(out, "streams   %d at once, %d may wait, with %llu tokens of prompts\n", v->n_parallel, v->n_queue,
               (unsigned long long)v->n_queue_tokens);
    put_memory(&v->plan, "", out);
    put_preset(v, out);
}

/* Each with its share, and what they are together. */
static void put_several(const struct view *v, bool turns, struct buf *out)
{
    double mib = 1.0 / (1 << 20);
    uint64_t once = v->plan.request_bytes + v->plan.program_bytes; /* for all */
    uint64_t total = once, budget = v->plan.machine_budget_bytes;
    buf_printf(out, "models    %d: requests name one of them (\"model\")\n\n", v->n_all);
    for (int i = 0; i < v->n_all; i++) {
        put_model(&v->all[i], out);
        put_memory(&v->all[i].plan, "its share of ", out);
        put_chat(&v->all[i], out);
        put_preset(&v->all[i], out);
        buf_puts(out, "\n");
        total += v->all[i].plan.total_bytes - once;
    }
    const char *how = total <= budget ? ""
                      : turns ? ": they take turns; who is not wanted sleeps when another needs the room"
                              : ": not all weights fit in memory; they will be read from disk again and again";
    buf_printf(out, "together  %.0f MiB of %.0f MiB%s\n", (double)total * mib, (double)budget * mib, how);
    buf_printf(out, "streams   %d at once of each model, %d may wait in all, with %llu tokens of prompts\n",
               v->n_parallel, v->n_queue, (unsigned long long)v->n_queue_tokens);
}

static bool take_turns(const struct server *s)
{
    bool turns = false;
    for (int i = 0; i < s->options.n_models; i++) {
        hearth_model_now now;
        hearth_model_look(s->served[i].model, &now);
        turns = turns || now.takes_turns;
    }
    return turns;
}

static void put_recorder(struct recorder *r, struct buf *out)
{
    struct recorder_figures f;
    recorder_look(r, &f);
    if (f.on)
        buf_printf(out, "recorded  %s of answers: %s (hearth log)\n", f.full ? "receipts and all tokens" : "receipts",
                   f.path);
}

static void put_sandbox(const struct sandbox *s, struct buf *out)
{
    if (!s->seccomp && !s->landlock) {
        buf_printf(out, "sandbox   off%s\n", s->has_seccomp || s->landlock_abi ? "" : ": this kernel has none");
        return;
    }
    buf_puts(out, "sandbox   ");
    if (s->seccomp)
        buf_puts(out, "no programs, no connections to others; ");
    if (!s->landlock)
        buf_puts(out, "the kernel has no Landlock, so files are not kept from it (seccomp)");
    else if (s->n_read + s->n_write == 0)
        buf_puts(out, "no files");
    for (int i = 0; s->landlock && i < s->n_read; i++)
        buf_printf(out, "%s%s", i ? ", " : "files to read: ", s->read[i]);
    for (int i = 0; s->landlock && i < s->n_write; i++)
        buf_printf(out, "%s%s", i ? ", " : s->n_read ? "; to write: " : "files: ", s->write[i]);
    if (s->landlock)
        buf_printf(out, " (%sLandlock %d)", s->seccomp ? "seccomp, " : "", s->landlock_abi);
    buf_printf(out, "%s\n", s->offline ? "; offline from the start" : "");
}

/* "--unix-socket /run/hearth.sock " */
static void put_curl(const struct view *v, const char *url, const char *unix_path, struct buf *out)
{
    const char *path = v->has_template ? "chat/completions" : "completions";
    const char *body = !v->has_template ? "\"prompt\":\"Hello\""
                                        : "\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]";
    buf_puts(out, "\n  curl ");
    if (unix_path)
        buf_printf(out, "--unix-socket %s ", unix_path);
    buf_printf(out, "%s/%s %s-d '{", url, path, v->has_keys ? "-H 'Authorization: Bearer YOUR-KEY' " : "");
    if (v->n_all > 1)
        buf_printf(out, "\"model\":\"%s\",", v->model_id);
    buf_printf(out, "%s}'\n\n", body);
}

void server_describe(const struct server *s, struct buf *out)
{
    const struct view *v = s->views;
    const char *host = s->options.host, *unix_path = port_unix_path(host);
    bool all = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0, v6 = strchr(host, ':') && !all;
    struct buf base = { 0 };
    const char *scheme = s->options.tls_cert ? "https" : "http";
    if (unix_path)
        buf_printf(&base, "%s://localhost/v1", scheme);
    else
        buf_printf(&base, "%s://%s%s%s:%d/v1", scheme, v6 ? "[" : "", all ? "127.0.0.1" : host, v6 ? "]" : "", s->port);
    const char *url = buf_str(&base).ptr, *key = v->has_keys ? "YOUR-KEY" : "any";
    buf_printf(out, "base URL  %s%s%s\n", url, unix_path ? ", through the Unix socket " : "",
               unix_path ? unix_path : "");
    if (v->settings)
        buf_printf(out, "settings  %s\n", v->settings);
    if (v->n_all > 1)
        put_several(v, take_turns(s), out);
    else
        put_one(v, out);
    buf_printf(out, "keys      %s\n", v->has_keys ? "needed (Authorization: Bearer KEY)" : "none: any key is accepted");
    if (v->n_all == 1)
        put_chat(v, out);
    put_recorder(s->options.recorder, out);
    if (v->sandbox)
        put_sandbox(v->sandbox, out);
    put_curl(v, url, unix_path, out);
    buf_puts(out, unix_path ? "  import httpx\n" : "");
    buf_printf(out, "  from openai import OpenAI\n  client = OpenAI(base_url=\"%s\", api_key=\"%s\"", url, key);
    if (unix_path)
        buf_printf(out, ",\n                  http_client=httpx.Client(transport=httpx.HTTPTransport(uds=\"%s\"))",
                   unix_path);
    buf_puts(out, ")\n");
    if (v->has_template)
        buf_printf(out, "  print(client.chat.completions.create(model=\"%s\", messages=[{\"role\": \"user\", "
                   "\"content\": "
                   "\"Hello\"}]).choices[0].message.content)\n\n", v->model_id);
    else
        buf_printf(out, "  print(client.completions.create(model=\"%s\", prompt=\"Hello\").choices[0].text)\n\n",
                   v->model_id);
    out->failed |= base.failed;
    buf_free(&base);
}
