#include "engine/disk_index.h"

#include "base/alloc.h"

size_t disk_index_bytes(void) { return DISK_SLOTS * sizeof(struct disk_entry); }

bool disk_index_create(struct disk_index *x)
{
    *x = (struct disk_index){ .slots = mem_alloc(disk_index_bytes()) };
    return x->slots != NULL;
}

void disk_index_destroy(struct disk_index *x)
{
    mem_free(x->slots);
    *x = (struct disk_index){ 0 };
}

static uint32_t home(struct kv_id id) { return (uint32_t)id.half[0] & (DISK_SLOTS - 1); }
static uint32_t behind(uint32_t slot) { return (slot + 1) & (DISK_SLOTS - 1); }

static bool same(struct kv_id a, struct kv_id b) { return a.half[0] == b.half[0] && a.half[1] == b.half[1]; }

/* Where it is, or would be. */
static struct disk_entry *place(const struct disk_index *x, struct kv_id id)
{
    uint32_t i = home(id);
    while (x->slots[i].bytes && !same(x->slots[i].id, id))
        i = behind(i);
    return &x->slots[i];
}

struct disk_entry *disk_index_find(const struct disk_index *x, struct kv_id id)
{
    struct disk_entry *e = place(x, id);
    return e->bytes ? e : NULL;
}

struct disk_entry *disk_index_put(struct disk_index *x, struct kv_id id, uint64_t bytes, int64_t used_ns)
{
    if (x->n >= DISK_MOST_FILES || bytes == 0)
        return NULL;
    struct disk_entry *e = place(x, id);
    *e = (struct disk_entry){ .id = id, .bytes = bytes, .used_ns = used_ns };
    x->n++;
    x->bytes += bytes;
    return e;
}

/* What follows without a gap moves up where its way to its place leads over the one that is free now. */
void disk_index_remove(struct disk_index *x, struct disk_entry *e)
{
    uint32_t hole = (uint32_t)(e - x->slots);
    x->n--;
    x->bytes -= e->bytes;
    for (uint32_t i = behind(hole); x->slots[i].bytes; i = behind(i)) {
        uint32_t way = (i - home(x->slots[i].id)) & (DISK_SLOTS - 1), gap = (i - hole) & (DISK_SLOTS - 1);
        if (way < gap)
            continue;
        x->slots[hole] = x->slots[i];
        hole = i;
    }
    x->slots[hole] = (struct disk_entry){ 0 };
}

void disk_index_clear(struct disk_index *x)
{
    enum { MOST_COMING = 256 }; /* copies on their way of as many models as there may be */
    struct disk_entry kept[MOST_COMING];
    int n = 0;
    for (uint32_t i = 0; i < DISK_SLOTS; i++) {
        if (x->slots[i].coming && n < MOST_COMING)
            kept[n++] = x->slots[i];
        x->slots[i] = (struct disk_entry){ 0 };
    }
    x->n = 0;
    x->bytes = 0;
    for (int i = 0; i < n; i++) {
        struct disk_entry *e = disk_index_put(x, kept[i].id, kept[i].bytes, kept[i].used_ns);
        if (e)
            e->coming = true;
    }
}

struct disk_entry *disk_index_oldest(const struct disk_index *x)
{
    struct disk_entry *best = NULL;
    for (uint32_t i = 0; i < DISK_SLOTS; i++) {
        struct disk_entry *e = &x->slots[i];
        if (e->bytes && !e->coming && (!best || e->used_ns < best->used_ns))
            best = e;
    }
    return best;
}
