/* idle.c: what the engine thread does when nobody wants anything: find out how fast the weights of its models can be
 * read, which is what the speed of an answer is held against. It stops at once when somebody comes. */
#include "base/clock.h"
#include "engine/engine.h"
#include "engine/lane.h"
#include "kernel/roof.h"

/* Between two readings of a model: what a shared machine gives drifts by the minute. And after one that could not be,
 * was disturbed, or ended because somebody came. */
enum { REST_MS = 30000, AGAIN_MS = 1000 };

struct calm {
    struct hearth_engine *engine;
    unsigned n_pokes;
};

static bool is_calm(void *arg)
{
    const struct calm *c = arg;
    return atomic_load_explicit(&c->engine->pokes, memory_order_relaxed) == c->n_pokes;
}

/* The part of the file that is read: all of it, or the largest of a set. */
static const struct file_map *largest(const hearth_file *f)
{
    const struct file_map *map = &f->maps[0];
    for (uint32_t i = 1; i < f->n_maps; i++)
        map = f->maps[i].bytes > map->bytes ? &f->maps[i] : map;
    return map;
}

bool idle_prepare(struct hearth_model *m, hearth_error *err)
{
    const struct file_map *map = largest(m->file);
    m->reading = roofs_over(m->engine->kernels, m->engine->pool, map->ptr, map->bytes, err);
    return m->reading != NULL;
}

static bool is_due(const struct hearth_model *m)
{
    return m->reading && atomic_load(&m->figures.n_steps) != m->read_at_step && clock_ns() >= m->read_next_ns;
}

/* Only what is in memory says how fast memory is; and nothing is to be read from disk for it, in the place of something
 * else. */
static bool is_in_memory(const hearth_file *f)
{
    const struct file_map *map = largest(f);
    return !file_is_mapped(f) || file_resident_bytes(map) >= map->bytes / 64 * 63;
}

void idle_look(struct hearth_engine *e, struct lane *const *lanes, int n, unsigned n_pokes)
{
    struct calm calm = { e, n_pokes };
    for (int i = 0; i < n && is_calm(&calm); i++) {
        struct hearth_model *m = lanes[i]->model;
        double rate = 0;
        if (atomic_load(&m->asleep) || !is_due(m))
            continue;
        if (is_in_memory(m->file)) {
            pool_use(e->pool, e->n_threads);
            rate = roofs_read_while(m->reading, ROOF_READ, e->n_threads, is_calm, &calm);
        }
        if (rate > 0) {
            atomic_store(&m->weights_gb_per_s, rate);
            m->read_at_step = atomic_load(&m->figures.n_steps);
        }
        m->read_next_ns = clock_ns() + (int64_t)(rate > 0 ? REST_MS : AGAIN_MS) * 1000000;
    }
}

double hearth_model_read_rate(const hearth_model *m, int wait_ms)
{
    double rate;
    for (int64_t start = clock_ns(); (rate = atomic_load(&m->weights_gb_per_s)) <= 0;) {
        if (!m->reading || clock_ms_since(start) >= wait_ms)
            return 0;
        thread_sleep_ms(1);
    }
    return rate;
}
