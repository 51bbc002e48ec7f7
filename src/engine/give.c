/* give.c: memory back to the system when there is little of it: what is kept only because somebody may want it again,
 * the cheapest first. */
#include "engine/lane.h"

const char *hearth_gives_name(hearth_gives what)
{
    static const char *const names[HEARTH_N_GIVES] = { [HEARTH_GIVES_FREE] = "free pages",
                                                       [HEARTH_GIVES_KEPT] = "kept pages" };
    return (unsigned)what < HEARTH_N_GIVES ? names[what] : NULL;
}

/* Who gives, in this order. Models that nobody has used for long would be the next row. */
static size_t (*const gives[HEARTH_N_GIVES])(struct kv_pool *pool, size_t bytes, uint32_t *n_pages) = {
    [HEARTH_GIVES_FREE] = kv_give_free,
    [HEARTH_GIVES_KEPT] = kv_give_kept,
};

/* At once: more would be felt by who waits for a token. Whoever still wants some asks again. */
static const uint64_t most_bytes = 256 << 20;

void give_look(struct hearth_engine *e, struct lane *const *lanes, int n)
{
    uint64_t wanted = min_size(atomic_exchange(&e->short_bytes, 0), most_bytes);
    bool tight = atomic_load(&e->is_short);
    for (int i = 0; i < n; i++)
        lanes[i]->model->kv.tight = tight;
    for (int what = 0; what < HEARTH_N_GIVES && wanted; what++) {
        struct given *g = &e->given[what];
        uint64_t bytes = 0, n_pages = 0;
        for (int i = 0; i < n && bytes < wanted; i++) {
            uint32_t pages;
            bytes += gives[what](&lanes[i]->model->kv, wanted - bytes, &pages);
            n_pages += pages;
            figures_pages(lanes[i]->model);
        }
        wanted -= min_size(bytes, wanted);
        if (!n_pages)
            continue;
        atomic_fetch_add(&g->n_pages, n_pages);
        atomic_fetch_add(&g->bytes, bytes);
        atomic_fetch_add(&g->n_times, 1);
    }
}

void hearth_engine_short(hearth_engine *e, uint64_t n_bytes)
{
    bool was = atomic_exchange(&e->is_short, n_bytes > 0);
    atomic_store(&e->short_bytes, n_bytes);
    if (n_bytes || was)
        engine_poke(e);
}

void hearth_engine_given(const hearth_engine *e, hearth_given given[HEARTH_N_GIVES])
{
    for (int i = 0; i < HEARTH_N_GIVES; i++)
        given[i] = (hearth_given){ .n_times = atomic_load(&e->given[i].n_times),
                                   .n_pages = atomic_load(&e->given[i].n_pages),
                                   .bytes = atomic_load(&e->given[i].bytes) };
}
