/* front.c: GET /: one screen for a person with a browser. */
#include "server/api/endpoints.h"

static void put_text(struct buf *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<': buf_puts(out, "&lt;"); break;
        case '>': buf_puts(out, "&gt;"); break;
        case '&': buf_puts(out, "&amp;"); break;
        case '"': buf_puts(out, "&quot;"); break;
        default: buf_put(out, text, 1);
        }
    }
}

static void put_routes(struct buf *out)
{
#define ROUTE(method, path, name, access) buf_puts(out, #method " " path "\n");
#include "server/routes.def"
}

static bool get(const struct view *v, const struct load_figures *now, const char *tail, struct buf *out,
                struct problem *p)
{
    (void)tail;
    buf_puts(out, "<!doctype html><meta charset=utf-8><title>hearth</title>"
                  "<style>body{font:16px/1.5 monospace;margin:2em;max-width:50em}</style><h1>hearth</h1><pre>");
    for (int i = 0; i < v->n_all; i++) {
        buf_puts(out, "model    ");
        put_text(out, v->all[i].model_id);
        buf_printf(out, "\nwindow   %d tokens a request\n", v->all[i].plan.n_ctx_tokens);
        if (v->n_all > 1)
            buf_printf(out, "streams  %d of %d running\n\n", now->of[i].n_running, v->n_parallel);
    }
    buf_printf(out, "streams  %d of %d running, %d waiting of %d\nanswers  %llu, %llu tokens\nup       %.0f s%s\n\n",
               now->n_running, v->n_parallel * v->n_all, now->n_waiting, v->n_queue,
               (unsigned long long)now->n_completed, (unsigned long long)now->output_tokens, now->uptime_s,
               now->draining ? ", ending" : "");
    put_routes(out);
    buf_puts(out, "</pre>\n");
    return !out->failed || ask_no_memory(p);
}

const struct endpoint endpoint_front = { .get = get, .content_type = "text/html; charset=utf-8" };
