/* sleep.c: models that are put to sleep and woken, on the engine thread between two rounds of steps: what turns.h
 * decides is done here. */
#include <assert.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "engine/lane.h"
#include "engine/turns.h"

/* One that woke is not asked to make room before: turns that are shorter cost more than they are worth. */
static const int64_t LEAST_NS = 2000000000;

/* ---- how it is with each ---- */

static bool is_busy(struct lane *l)
{
    for (int i = 0; i < l->e->n_seqs; i++)
        if (l->seqs[i].stream || l->seqs[i].finished)
            return true;
    return false;
}

/* Pages are on their way to disk, for as long as they would have when it is released. */
static bool is_writing(struct lane *l, int64_t now)
{
    return keep_waits(&l->model->keep) && now - l->used_ns < (int64_t)l->e->cache_close_ms * 1000000;
}

static int64_t older(int64_t since, const struct hearth_stream *s)
{
    return !s || (since && since <= s->prepared_ns) ? since : s->prepared_ns;
}

/* Since when the longest has waited for one of its slots, or it was told to wake; under the engine's lock. */
static int64_t wanted_since(const struct lane *l)
{
    int64_t since = older(atomic_load(&l->model->told_to_wake_ns), l->next);
    for (const struct hearth_stream *s = l->e->inbox.first; s; s = s->next)
        since = s->model == l->model ? older(since, s) : since;
    return since;
}

/* All but by whom it is wanted. */
static struct turn look_at(struct lane *l, int64_t now)
{
    struct hearth_model *m = l->model;
    bool busy = is_busy(l), asleep = atomic_load(&m->asleep);
    if (busy)
        l->used_ns = now;
    if (asleep) /* it is as it was told to be */
        atomic_store(&m->told_to_sleep, false);
    else
        atomic_store(&m->told_to_wake_ns, 0);
    return (struct turn){ .bytes = l->awake_bytes,
                          .awake = !asleep,
                          .pinned = m->pinned,
                          .busy = busy || is_writing(l, now),
                          .told = atomic_load(&m->told_to_sleep),
                          .keep_ns = m->keep_awake_ns,
                          .used_ns = l->used_ns,
                          .woke_ns = l->woke_ns };
}

/* ---- what is done ---- */

static void note(struct hearth_engine *e, const hearth_turn *turn)
{
    lock_take(&e->lock);
    e->turns[e->n_turns++ % ENGINE_TURNS] = *turn;
    lock_release(&e->lock);
}

/* Its own memory goes back to the system, and its weights are not held any more. */
static void put_to_sleep(struct lane *l, hearth_sleep why, int64_t now)
{
    struct hearth_model *m = l->model;
    readahead_stop(&m->readahead);
    keep_copy(&m->keep, &m->kv, DISK_MOST_COPIES);
    kv_forget(&m->kv);
    mem_pages_forget(m->ws_memory, m->ws_memory_bytes);
    mem_pages_forget(m->room_memory, m->room_bytes);
    for (uint32_t i = 0; i < m->file->n_maps && file_is_mapped(m->file); i++)
        file_advise(&m->file->maps[i], 0, m->file->maps[i].bytes, FILE_LET_GO);
    figures_pages(m);
    atomic_store(&m->told_to_sleep, false);
    atomic_store(&m->why_asleep, (int)why);
    atomic_fetch_add(&m->n_sleeps, 1);
    atomic_store(&m->asleep, true);
    note(l->e, &(hearth_turn){ m, why, (double)(now - l->woke_ns) / 1e6, l->awake_bytes });
}

static void wake(struct lane *l, int64_t wanted_ns)
{
    struct hearth_model *m = l->model;
    int64_t now = clock_ns(); /* making room took its time */
    l->used_ns = l->woke_ns = now;
    atomic_store(&m->told_to_wake_ns, 0);
    readahead_again(&m->readahead); /* whoever sees that it is awake sees how far that is */
    atomic_fetch_add(&m->n_wakes, 1);
    atomic_store(&m->asleep, false);
    note(l->e, &(hearth_turn){ m, HEARTH_SLEEP_NOT, (double)(now - wanted_ns) / 1e6, l->awake_bytes });
}

static void move(struct lane *const *lanes, int n, const struct turn *turns, int64_t now)
{
    for (int i = 0; i < n; i++) {
        lanes[i]->held = turns[i].held;
        if (turns[i].move == TURN_SLEEP)
            put_to_sleep(lanes[i], turns[i].for_room ? HEARTH_SLEEP_ROOM
                                   : turns[i].told  ? HEARTH_SLEEP_TOLD
                                                    : HEARTH_SLEEP_IDLE, now);
    }
    for (int i = 0; i < n; i++) /* those that go first have gone */
        if (turns[i].move == TURN_WAKE)
            wake(lanes[i], turns[i].wanted_ns);
}

/* Awake, and nothing says that one should not be. */
static bool nothing_to_decide(const struct hearth_engine *e, const struct turn *turns, int n)
{
    bool some = e->take_turns;
    for (int i = 0; i < n; i++)
        some = some || !turns[i].awake || turns[i].told || turns[i].keep_ns;
    return !some;
}

int64_t sleep_look(struct hearth_engine *e, struct lane *const *lanes, int n)
{
    struct turn turns[ENGINE_MAX_MODELS];
    int64_t now = clock_ns();
    struct turn_rules rules = { .room_bytes = e->take_turns ? e->turn_room_bytes : UINT64_MAX,
                                .least_ns = LEAST_NS };
    static_assert((int)ENGINE_MAX_MODELS <= (int)TURNS_MAX, "each has a turn");
    for (int i = 0; i < n; i++)
        turns[i] = look_at(lanes[i], now);
    if (nothing_to_decide(e, turns, n))
        return 0;
    lock_take(&e->lock);
    for (int i = 0; i < n; i++)
        turns[i].wanted_ns = wanted_since(lanes[i]);
    lock_release(&e->lock);
    int64_t again = turns_decide(turns, n, &rules, now);
    move(lanes, n, turns, now);
    for (int i = 0; i < n; i++) /* a copy on its way to disk is no event */
        if (turns[i].busy && !is_busy(lanes[i]))
            again = now + (int64_t)e->cache_close_ms * 1000000;
    return again;
}

/* ---- when memory is short ---- */

/* The one that nobody has used for longest; NULL: each is pinned, asleep, at work or wanted. */
static struct lane *longest_unused(struct lane *const *lanes, int n, int64_t now)
{
    struct lane *best = NULL;
    for (int i = 0; i < n; i++) {
        struct turn t = look_at(lanes[i], now);
        lock_take(&lanes[i]->e->lock);
        bool wanted = wanted_since(lanes[i]) != 0;
        lock_release(&lanes[i]->e->lock);
        if (t.awake && !t.pinned && !t.busy && !wanted && (!best || t.used_ns < best->used_ns))
            best = lanes[i];
    }
    return best;
}

uint64_t sleep_for_memory(struct lane *const *lanes, int n, uint64_t bytes, uint64_t *n_pages)
{
    int64_t now = clock_ns();
    uint64_t given = 0;
    for (struct lane *l; given < bytes && (l = longest_unused(lanes, n, now));) {
        *n_pages += l->model->kv.n_touched;
        given += kv_touched_bytes(&l->model->kv) + l->model->ws_memory_bytes + l->model->room_bytes;
        put_to_sleep(l, HEARTH_SLEEP_SHORT, now);
    }
    return given;
}

/* ---- what others say ---- */

void hearth_model_sleep(hearth_model *m)
{
    atomic_store(&m->told_to_wake_ns, 0);
    atomic_store(&m->told_to_sleep, true);
    engine_poke(m->engine);
}

void hearth_model_wake(hearth_model *m)
{
    atomic_store(&m->told_to_sleep, false);
    atomic_store(&m->told_to_wake_ns, clock_ns());
    engine_poke(m->engine);
}

size_t hearth_engine_turns(hearth_engine *e, uint64_t *seen, hearth_turn *turns, size_t cap, uint64_t *n_forgotten)
{
    size_t n = 0;
    lock_take(&e->lock);
    uint64_t first = e->n_turns - min_size(e->n_turns, ENGINE_TURNS);
    if (*seen < first) {
        *n_forgotten += first - *seen;
        *seen = first;
    }
    while (n < cap && *seen < e->n_turns)
        turns[n++] = e->turns[(*seen)++ % ENGINE_TURNS];
    lock_release(&e->lock);
    return n;
}

const char *hearth_sleep_name(hearth_sleep why)
{
    static const char *const names[] = { [HEARTH_SLEEP_NOT] = "never slept",
                                         [HEARTH_SLEEP_START] = "not wanted yet",
                                         [HEARTH_SLEEP_IDLE] = "idle",
                                         [HEARTH_SLEEP_ROOM] = "room for another model",
                                         [HEARTH_SLEEP_TOLD] = "told to",
                                         [HEARTH_SLEEP_SHORT] = "memory was short" };
    return (size_t)why < ARRAY_LEN(names) ? names[why] : NULL;
}
