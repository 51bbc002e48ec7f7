/* start_screen.c: what a person wants to know when the server has started. */
#include <string.h>

#include "server/core.h"

static void put_memory(const hearth_plan *p, struct buf *out)
{
    double mib = 1.0 / (1 << 20);
    buf_printf(out,
               "memory    weights %.0f MiB (file pages) + KV cache %.0f MiB (%s) + workspace %.0f MiB + vocabulary "
                   "%.0f MiB "
               "= %.0f MiB, of %.0f MiB\n",
               (double)p->weights_bytes * mib, (double)p->kv_bytes * mib, hearth_kv_type_name(p->kv_type),
               (double)p->workspace_bytes * mib, (double)p->vocabulary_bytes * mib, (double)p->total_bytes * mib,
               (double)p->budget_bytes * mib);
}

void server_describe(const struct server *s, struct buf *out)
{
    const struct view *v = &s->view;
    const char *host = s->options.host;
    bool all = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0, v6 = strchr(host, ':') && !all;
    struct buf base = { 0 };
    buf_printf(&base, "http://%s%s%s:%d/v1", v6 ? "[" : "", all ? "127.0.0.1" : host, v6 ? "]" : "", s->port);
    const char *url = buf_str(&base).ptr, *key = v->has_keys ? "YOUR-KEY" : "any";
    buf_printf(out, "base URL  %s\n", url);
    buf_printf(out, "model     %s\n", v->model_id);
    buf_printf(out, "window    %d tokens a request: %s\n", v->plan.n_ctx_tokens, v->plan.reason);
    buf_printf(out, "streams   %d at once, %d may wait\n", v->n_parallel, v->n_queue);
    put_memory(&v->plan, out);
    buf_printf(out, "keys      %s\n", v->has_keys ? "needed (Authorization: Bearer KEY)" : "none: any key is accepted");
    if (!v->has_template)
        buf_puts(out, "chat      no: this model has no chat template (--chat-template); completions work\n");
    const char *path = v->has_template ? "chat/completions" : "completions";
    const char *body = !v->has_template ? "\"prompt\":\"Hello\""
                                        : "\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]";
    buf_printf(out, "\n  curl %s/%s %s%s%s-d '{%s}'\n\n", url, path, v->has_keys ? "-H 'Authorization: Bearer " : "",
               v->has_keys ? key : "", v->has_keys ? "' " : "", body);
    buf_printf(out, "  from openai import OpenAI\n  client = OpenAI(base_url=\"%s\", api_key=\"%s\")\n", url, key);
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
