/* give.c: memory back to the system when there is little of it: what is kept only because somebody may want it again,
 * the cheapest first. */
#include "engine/lane.h"

const char *hearth_gives_name(hearth_gives what)
{
    static const char *const names[HEARTH_N_GIVES] = { [HEARTH_GIVES_FREE] = "free pages",
                                                       [HEARTH_GIVES_KEPT] = "kept pages",
                                                       [HEARTH_GIVES_MODELS] = "idle models" };
    return (unsigned)what < HEARTH_N_GIVES ? names[what] : NULL;
}

static uint64_t of_pools(struct lane *const *lanes, int n, uint64_t bytes, uint64_t *n_pages,
                         size_t (*give)(struct kv_pool *pool, size_t bytes, uint32_t *n_pages))
{
    uint64_t given = 0;
    for (int i = 0; i < n && given < bytes; i++) {
        uint32_t pages;
        given += give(&lanes[i]->model->kv, bytes - given, &pages);
        *n_pages += pages;
        figures_pages(lanes[i]->model);
    }
    return given;
}

static uint64_t free_pages(struct lane *const *lanes, int n, uint64_t bytes, uint64_t *n_pages)
{
    return of_pools(lanes, n, bytes, n_pages, kv_give_free);
}

static uint64_t kept_pages(struct lane *const *lanes, int n, uint64_t bytes, uint64_t *n_pages)
{
    return of_pools(lanes, n, bytes, n_pages, kv_give_kept);
}

/* Who gives, in this order, so many bytes or all that there are: returns how many, adds what pages they were. */
static uint64_t (*const gives[HEARTH_N_GIVES])(struct lane *const *lanes, int n, uint64_t bytes, uint64_t *n_pages) = {
    [HEARTH_GIVES_FREE] = free_pages,
    [HEARTH_GIVES_KEPT] = kept_pages,
    [HEARTH_GIVES_MODELS] = sleep_for_memory,
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
        uint64_t n_pages = 0, bytes = gives[what](lanes, n, wanted, &n_pages);
        wanted -= min_size(bytes, wanted);
        if (!n_pages && !bytes)
            continue;
        atomic_fetch_add(&g->n_times, 1);
        atomic_fetch_add(&g->bytes, bytes);
        atomic_fetch_add(&g->n_pages, n_pages); /* last: who sees them sees the rest */
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
