#include "engine/keep.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"

enum { STAGE_BYTES = 16 << 20, LEAST_COPIES = 2 };

static int n_copies(size_t page_bytes)
{
    size_t n = STAGE_BYTES / max_size(page_bytes, 1);
    return (int)max_size(LEAST_COPIES, min_size(n, DISK_MOST_COPIES));
}

size_t keep_bytes(uint32_t n_pages, size_t page_bytes)
{
    return n_pages * sizeof(struct keep_page) + (size_t)n_copies(page_bytes) * page_bytes;
}

bool keep_create(struct keep *k, struct disk *disk, const struct kv_pool *pool, const uint8_t model[32],
                 int n_least_tokens)
{
    *k = (struct keep){ .disk = disk, .first = PREFIX_NONE, .last = PREFIX_NONE, .n_least_tokens = n_least_tokens };
    if (!disk)
        return true;
    k->form = (struct kv_form){ .kv_type = (uint32_t)pool->type, .arithmetic_revision = ARITHMETIC_REVISION,
                                .page_bytes = pool->page_bytes };
    memcpy(k->form.model, model, sizeof k->form.model);
    k->stage.n = n_copies(pool->page_bytes);
    k->copies_bytes = (size_t)k->stage.n * pool->page_bytes;
    k->sha = sha256_new();
    k->pages = mem_alloc(sizeof *k->pages * pool->n_pages);
    k->copies = mem_pages(k->copies_bytes, NULL);
    for (int i = 0; k->copies && i < k->stage.n; i++)
        k->stage.copies[i].data = k->copies + (size_t)i * pool->page_bytes;
    if (k->sha && k->pages && k->copies)
        return true;
    keep_destroy(k, pool, 0);
    return false;
}

void keep_destroy(struct keep *k, const struct kv_pool *pool, double ms)
{
    int64_t start = clock_ns();
    double left = ms;
    if (!k->disk)
        return;
    while (keep_waits(k) && left > 0) {
        keep_copy(k, pool, k->stage.n);
        left = ms - clock_ms_since(start);
        if (keep_waits(k) && !disk_stage_wait(k->disk, &k->stage, left, false))
            break;
        left = ms - clock_ms_since(start);
    }
    disk_stage_wait(k->disk, &k->stage, left, true);
    disk_stage_end(k->disk, &k->stage);
    uint64_t n = 0;
    for (uint32_t i = k->first; i != PREFIX_NONE; i = k->pages[i].next)
        n++;
    disk_dropped(k->disk, n);
    mem_free(k->pages);
    mem_pages_free(k->copies, k->copies_bytes);
    sha256_free(k->sha);
    *k = (struct keep){ 0 };
}

/* ---- to disk ---- */

static void push(struct keep *k, uint32_t page)
{
    k->pages[page].next = PREFIX_NONE;
    k->pages[page].waits = true;
    if (k->last != PREFIX_NONE)
        k->pages[k->last].next = page;
    else
        k->first = page;
    k->last = page;
}

static uint32_t pop(struct keep *k)
{
    uint32_t page = k->first;
    k->first = k->pages[page].next;
    if (k->first == PREFIX_NONE)
        k->last = PREFIX_NONE;
    k->pages[page].waits = false;
    return page;
}

/* A page that waited as another one keeps its place in the queue: that other one is gone from the pool. */
static void note_page(struct keep *k, const struct kv_pool *pool, uint32_t page, struct keep_mark *mark)
{
    struct keep_page *p = &k->pages[page];
    uint64_t hash = pool->tree.nodes[page].hash;
    struct kv_key key;
    kv_key_next(k->sha, &mark->key, pool->tree.tokens + (size_t)page * PREFIX_PAGE_TOKENS, &key);
    int64_t used_ns = mark->used_ns - (int64_t)mark->n * DISK_DEPTH_NS;
    if (!disk_touch(k->disk, kv_id_of(&key), used_ns)) {
        if (p->waits && memcmp(&p->key, &key, sizeof key) != 0)
            disk_dropped(k->disk, 1);
        p->key = key;
        p->before = mark->key;
        p->hash = hash;
        p->number = mark->n;
        p->used_ns = used_ns;
        if (!p->waits)
            push(k, page);
    }
    mark->key = key;
}

void keep_note(struct keep *k, const struct kv_pool *pool, const struct kv_seq *s, struct keep_mark *mark)
{
    if (!k->disk || (int)s->n_in_tree * KV_PAGE_TOKENS < k->n_least_tokens || mark->n >= s->n_in_tree)
        return;
    if (mark->n == 0) {
        kv_key_first(k->sha, &k->form, s->salt, &mark->key);
        mark->used_ns = clock_unix_ns();
    }
    for (; mark->n < s->n_in_tree; mark->n++)
        note_page(k, pool, s->pages[mark->n], mark);
}

/* It is in the pool as it was noted. */
static bool is_there(const struct keep *k, const struct kv_pool *pool, uint32_t page)
{
    const struct prefix_node *node = &pool->tree.nodes[page];
    return node->n_tokens == PREFIX_PAGE_TOKENS && node->hash == k->pages[page].hash;
}

int keep_copy(struct keep *k, const struct kv_pool *pool, int n)
{
    int copied = 0;
    while (keep_waits(k) && copied < n) {
        if (!is_there(k, pool, k->first)) {
            pop(k);
            disk_dropped(k->disk, 1);
            continue;
        }
        struct disk_copy *c = disk_copy_take(k->disk, &k->stage);
        if (!c)
            break;
        uint32_t page = pop(k);
        const struct keep_page *p = &k->pages[page];
        memcpy(c->tokens, pool->tree.tokens + (size_t)page * PREFIX_PAGE_TOKENS, sizeof c->tokens);
        memcpy(c->data, pool->data + page * pool->page_bytes, pool->page_bytes);
        c->page = (struct kv_file_page){ .key = p->key, .before = p->before, .number = p->number,
                                         .tokens = c->tokens };
        c->form = &k->form;
        c->used_ns = p->used_ns;
        disk_copy_put(k->disk, c);
        copied++;
    }
    return copied;
}

/* ---- from disk ---- */

uint32_t keep_look(struct keep *k, uint64_t salt, const int32_t *tokens, uint32_t n_full, int most,
                   struct disk_load *load)
{
    struct kv_key key;
    uint32_t n = 0, last = (uint32_t)max_int(most, 0) / KV_PAGE_TOKENS;
    if (!k->disk || last <= n_full)
        return 0;
    const int64_t now = clock_unix_ns();
    kv_key_first(k->sha, &k->form, salt, &key);
    for (; n < n_full; n++)
        kv_key_next(k->sha, &key, tokens + (size_t)n * KV_PAGE_TOKENS, &key);
    load->before = key;
    for (; n < last; n++) {
        kv_key_next(k->sha, &key, tokens + (size_t)n * KV_PAGE_TOKENS, &key);
        if (!disk_has(k->disk, kv_id_of(&key), now - (int64_t)n * DISK_DEPTH_NS))
            break;
    }
    return n - n_full;
}
