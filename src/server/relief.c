/* relief.c: when memory is short around the server the engine gives some back. The watch thread looks, and says in the
 * log what came back. */
#include "server/core.h"

void relief_open(struct server *s, const char *root) { memory_pressure_open(&s->relief.pressure, root); }

void relief_close(struct server *s) { memory_pressure_close(&s->relief.pressure); }

/* Of prompts and answers that are over. */
static uint64_t kept_bytes(const struct server *s)
{
    uint64_t n = 0;
    for (int i = 0; i < s->options.n_models; i++) {
        hearth_model_now now;
        hearth_model_look(s->served[i].model, &now);
        n += now.n_kept_pages * now.page_bytes;
    }
    return n;
}

static void say_why(struct log_line *line, const struct memory_look *l)
{
    log_text(line, "of", l->of_group ? "control group" : "machine");
    log_whole(line, "limit_mb", (int64_t)(l->limit_bytes >> 20));
    log_whole(line, "used_mb", (int64_t)(l->used_bytes >> 20));
    if (l->has_stalls)
        log_whole(line, "stalled_percent", (int64_t)l->stalled_percent);
}

/* What the engine gave back since that was said last. */
static void say_given(struct server *s, const struct memory_look *look)
{
    static const int64_t rest_ns = (int64_t)10 * 1000000000; /* what is given in it is in one line */
    struct relief *r = &s->relief;
    hearth_given now[HEARTH_N_GIVES];
    int64_t now_ns = clock_ns();
    hearth_engine_given(s->options.engine, now);
    for (int i = 0; i < HEARTH_N_GIVES; i++) {
        struct log_line line;
        const hearth_given *was = &r->said[i];
        if (now[i].n_times == was->n_times || (r->said_ns[i] && now_ns - r->said_ns[i] < rest_ns))
            continue;
        if (log_begin(&line, s->options.log, LOG_LEVEL_WARN, "memory")) {
            log_text(&line, "gave_back", hearth_gives_name((hearth_gives)i));
            log_whole(&line, "times", (int64_t)(now[i].n_times - was->n_times));
            log_whole(&line, "pages", (int64_t)(now[i].n_pages - was->n_pages));
            log_whole(&line, "mb", (int64_t)((now[i].bytes - was->bytes) >> 20));
            say_why(&line, look);
            log_end(&line);
        }
        r->said[i] = now[i];
        r->said_ns[i] = now_ns;
    }
}

void relief_look(struct server *s)
{
    struct relief *r = &s->relief;
    struct memory_look look;
    memory_pressure_look(&r->pressure, &look);
    uint64_t bytes = memory_short_bytes(&look, kept_bytes(s));
    say_given(s, &look);
    if (bytes && !atomic_load(&r->is_short))
        atomic_fetch_add(&r->n_shortages, 1);
    atomic_store(&r->is_short, bytes > 0);
    atomic_store(&r->limit_bytes, look.limit_bytes);
    atomic_store(&r->used_bytes, look.used_bytes);
    atomic_store(&r->stalled_percent, look.has_stalls ? look.stalled_percent : -1);
    hearth_engine_short(s->options.engine, bytes);
}

void relief_show(struct server *s, enum memory_seen seen, struct memory_figures *out)
{
    struct relief *r = &s->relief;
    *out = (struct memory_figures){ .is_short = atomic_load(&r->is_short),
                                    .n_shortages = atomic_load(&r->n_shortages),
                                    .limit_bytes = atomic_load(&r->limit_bytes),
                                    .used_bytes = atomic_load(&r->used_bytes),
                                    .stalled_percent = atomic_load(&r->stalled_percent) };
    hearth_engine_given(s->options.engine, out->given);
    if (seen >= MEMORY_OF_PROCESS) {
        out->resident_bytes = process_resident_bytes();
        out->peak_resident_bytes = process_peak_resident_bytes();
        out->anonymous_bytes = process_anonymous_bytes();
    }
    for (int i = 0; seen >= MEMORY_OF_WEIGHTS && i < s->options.n_models; i++)
        out->weights_resident_bytes += hearth_model_resident_weights(s->served[i].model);
}
