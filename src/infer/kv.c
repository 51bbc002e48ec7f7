#include "infer/kv.h"

#include "base/alloc.h"

size_t kv_page_bytes(const struct hparams *hp, hearth_kv_type type)
{
    return 2 * kv_half_bytes(type, hp->head_dim) * (size_t)hp->n_kv_heads * (size_t)hp->n_layers;
}

bool kv_create(struct kv_pool *pool, const struct hparams *hp, hearth_kv_type type, uint32_t n_pages,
               hearth_error *err)
{
    *pool = (struct kv_pool){ .head_dim = hp->head_dim, .type = type, .n_pages = n_pages, .n_free = n_pages };
    pool->head_bytes = 2 * kv_half_bytes(type, hp->head_dim); /* K and V */
    pool->layer_bytes = pool->head_bytes * (size_t)hp->n_kv_heads;
    pool->page_bytes = kv_page_bytes(hp, type);
    uint64_t bytes;
    if (!mul_ok(pool->page_bytes, n_pages, &bytes) || bytes > SIZE_MAX)
        return fail(err, HEARTH_ERR_MEMORY,
                    "a KV cache of %u pages of %zu bytes is beyond any address space; lower --ctx", n_pages,
                    pool->page_bytes);
    pool->bytes = (size_t)bytes;
    pool->data = mem_pages(pool->bytes, &pool->huge);
    pool->free_pages = mem_alloc(sizeof *pool->free_pages * n_pages);
    pool->n_refs = mem_alloc(sizeof *pool->n_refs * n_pages);
    if (!pool->data || !pool->free_pages || !pool->n_refs) {
        kv_destroy(pool);
        return fail(err, HEARTH_ERR_MEMORY, "cannot reserve %zu MiB for the KV cache; lower --ctx",
                    (size_t)bytes >> 20);
    }
    /* Low pages first, so that short work touches little memory. */
    for (uint32_t i = 0; i < n_pages; i++)
        pool->free_pages[i] = n_pages - 1 - i;
    return true;
}

void kv_destroy(struct kv_pool *pool)
{
    mem_pages_free(pool->data, pool->bytes);
    mem_free(pool->free_pages);
    mem_free(pool->n_refs);
    *pool = (struct kv_pool){ 0 };
}

bool kv_seq_create(struct kv_seq *s, uint32_t max_pages, hearth_error *err)
{
    *s = (struct kv_seq){ .max_pages = max_pages };
    s->pages = mem_alloc(sizeof *s->pages * max_pages);
    return s->pages ? true : fail_memory(err, "a sequence's page table");
}

void kv_seq_destroy(struct kv_pool *pool, struct kv_seq *s)
{
    if (s->pages)
        kv_seq_clear(pool, s);
    mem_free(s->pages);
    *s = (struct kv_seq){ 0 };
}

bool kv_seq_reserve(struct kv_pool *pool, struct kv_seq *s, int n_tokens)
{
    uint32_t need = ((uint32_t)n_tokens + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
    if (need > s->max_pages || (need > s->n_pages && need - s->n_pages > pool->n_free))
        return false;
    while (s->n_pages < need) {
        uint32_t page = pool->free_pages[--pool->n_free];
        pool->n_refs[page] = 1;
        s->pages[s->n_pages++] = page;
    }
    return true;
}

void kv_seq_clear(struct kv_pool *pool, struct kv_seq *s) { kv_seq_cut(pool, s, 0); }

void kv_seq_cut(struct kv_pool *pool, struct kv_seq *s, int n_tokens)
{
    uint32_t keep = ((uint32_t)n_tokens + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
    while (s->n_pages > keep) {
        uint32_t page = s->pages[--s->n_pages];
        if (--pool->n_refs[page] == 0)
            pool->free_pages[pool->n_free++] = page;
    }
}

struct kv_view kv_seq_view(const struct kv_pool *pool, const struct kv_seq *s)
{
    return (struct kv_view){ .base = pool->data,
                             .pages = s->pages,
                             .page_bytes = pool->page_bytes,
                             .layer_bytes = pool->layer_bytes,
                             .head_bytes = pool->head_bytes,
                             .head_dim = pool->head_dim,
                             .type = pool->type };
}
