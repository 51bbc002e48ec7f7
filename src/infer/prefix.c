#include "infer/prefix.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"

static uint32_t n_buckets_for(uint32_t n_pages)
{
    uint32_t n = 64;
    while (n < n_pages && n < 1u << 30)
        n *= 2;
    return n;
}

size_t prefix_bytes(uint32_t n_pages)
{
    size_t per_page = sizeof(struct prefix_node) + PREFIX_PAGE_TOKENS * sizeof(int32_t);
    return n_pages * per_page + n_buckets_for(n_pages) * (2 * sizeof(uint32_t) + sizeof(uint64_t));
}

bool prefix_create(struct prefix_tree *t, uint32_t n_pages, uint64_t seed)
{
    uint32_t n = n_buckets_for(n_pages);
    *t = (struct prefix_tree){ .n_pages = n_pages, .n_buckets = n, .seed = seed, .oldest = PREFIX_NONE,
                               .newest = PREFIX_NONE };
    t->nodes = mem_alloc(n_pages * sizeof *t->nodes);
    t->tokens = mem_alloc(n_pages * PREFIX_PAGE_TOKENS * sizeof *t->tokens);
    t->same = mem_alloc(n * sizeof *t->same);
    t->near = mem_alloc(n * sizeof *t->near);
    t->given_away = mem_alloc(n * sizeof *t->given_away);
    if (!t->nodes || !t->tokens || !t->same || !t->near || !t->given_away) {
        prefix_destroy(t);
        return false;
    }
    for (uint32_t i = 0; i < n; i++)
        t->same[i] = t->near[i] = PREFIX_NONE;
    return true;
}

void prefix_destroy(struct prefix_tree *t)
{
    mem_free(t->nodes);
    mem_free(t->tokens);
    mem_free(t->same);
    mem_free(t->near);
    mem_free(t->given_away);
    *t = (struct prefix_tree){ 0 };
}

/* ---- where to look ---- */

static int32_t *tokens_of(const struct prefix_tree *t, uint32_t page)
{
    return t->tokens + (size_t)page * PREFIX_PAGE_TOKENS;
}

static uint64_t hash_behind(const struct prefix_tree *t, uint32_t parent, uint64_t salt, const int32_t *tokens, int n)
{
    uint64_t h = parent == PREFIX_NONE ? rng_mix(t->seed ^ salt) : t->nodes[parent].hash;
    for (int i = 0; i < n; i++)
        h = rng_mix(h ^ (uint32_t)tokens[i]);
    return h;
}

static uint32_t bucket(const struct prefix_tree *t, uint64_t hash) { return (uint32_t)hash & (t->n_buckets - 1); }

/* Which bucket of neighbours: by the page before and the first token. */
static uint32_t near_bucket(const struct prefix_tree *t, uint32_t parent, uint64_t salt, int32_t first)
{
    return bucket(t, hash_behind(t, parent, salt, &first, 1));
}

static bool is_behind(const struct prefix_node *node, uint32_t parent, uint64_t salt)
{
    return node->parent == parent && node->salt == salt;
}

static int n_common(const int32_t *a, const int32_t *b, int n)
{
    int i = 0;
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

uint32_t prefix_find(const struct prefix_tree *t, uint32_t parent, uint64_t salt,
                     const int32_t tokens[PREFIX_PAGE_TOKENS])
{
    uint64_t hash = hash_behind(t, parent, salt, tokens, PREFIX_PAGE_TOKENS);
    for (uint32_t i = t->same[bucket(t, hash)]; i != PREFIX_NONE; i = t->nodes[i].next_same)
        if (t->nodes[i].hash == hash && is_behind(&t->nodes[i], parent, salt)
            && memcmp(tokens_of(t, i), tokens, PREFIX_PAGE_TOKENS * sizeof *tokens) == 0)
            return i;
    return PREFIX_NONE;
}

uint32_t prefix_nearest(const struct prefix_tree *t, uint32_t parent, uint64_t salt, const int32_t *tokens, int n,
                        int *common, int32_t *other)
{
    uint32_t best = PREFIX_NONE;
    *common = 0;
    *other = -1;
    if (n <= 0)
        return PREFIX_NONE;
    uint32_t i = t->near[near_bucket(t, parent, salt, tokens[0])];
    for (int looked = 0; i != PREFIX_NONE && looked < PREFIX_NEIGHBOURS; i = t->nodes[i].next_near, looked++) {
        const struct prefix_node *node = &t->nodes[i];
        int c = is_behind(node, parent, salt) ? n_common(tokens_of(t, i), tokens, min_int(n, node->n_tokens)) : 0;
        if (c > *common) {
            best = i;
            *common = c;
            *other = c < node->n_tokens ? tokens_of(t, i)[c] : -1;
        }
    }
    return best;
}

bool prefix_was_there(const struct prefix_tree *t, uint32_t parent, uint64_t salt,
                      const int32_t tokens[PREFIX_PAGE_TOKENS])
{
    uint64_t hash = hash_behind(t, parent, salt, tokens, PREFIX_PAGE_TOKENS);
    return t->given_away[bucket(t, hash)] == hash;
}

/* ---- in and out ---- */

void prefix_add(struct prefix_tree *t, uint32_t page, uint32_t parent, uint64_t salt, const int32_t *tokens, int n)
{
    struct prefix_node *node = &t->nodes[page];
    assert(n > 0 && n <= PREFIX_PAGE_TOKENS && !prefix_has(t, page));
    bool full = n == PREFIX_PAGE_TOKENS;
    *node = (struct prefix_node){ .salt = salt, .parent = parent, .n_tokens = (uint8_t)n, .before_near = PREFIX_NONE,
                                  .next_same = PREFIX_NONE, .older = PREFIX_NONE, .newer = PREFIX_NONE };
    node->hash = hash_behind(t, parent, salt, tokens, full ? n : 1);
    memcpy(tokens_of(t, page), tokens, (size_t)n * sizeof *tokens);
    if (full) {
        uint32_t *same = &t->same[bucket(t, node->hash)];
        node->next_same = *same;
        *same = page;
    }
    uint32_t *near = &t->near[near_bucket(t, parent, salt, tokens[0])];
    node->next_near = *near;
    if (*near != PREFIX_NONE)
        t->nodes[*near].before_near = page;
    *near = page;
    if (parent != PREFIX_NONE)
        t->nodes[parent].n_children++;
}

static void leave_buckets(struct prefix_tree *t, uint32_t page)
{
    struct prefix_node *node = &t->nodes[page];
    if (node->n_tokens == PREFIX_PAGE_TOKENS) {
        uint32_t *at = &t->same[bucket(t, node->hash)];
        while (*at != page)
            at = &t->nodes[*at].next_same;
        *at = node->next_same;
    }
    if (node->next_near != PREFIX_NONE)
        t->nodes[node->next_near].before_near = node->before_near;
    if (node->before_near != PREFIX_NONE)
        t->nodes[node->before_near].next_near = node->next_near;
    else
        t->near[near_bucket(t, node->parent, node->salt, tokens_of(t, page)[0])] = node->next_near;
}

void prefix_remove(struct prefix_tree *t, uint32_t page)
{
    struct prefix_node *node = &t->nodes[page];
    assert(prefix_has(t, page) && node->n_children == 0);
    leave_buckets(t, page);
    if (node->idle)
        prefix_used(t, page);
    if (node->parent != PREFIX_NONE)
        t->nodes[node->parent].n_children--;
    node->n_tokens = 0;
}

/* ---- who is kept, and for how long ---- */

void prefix_idle(struct prefix_tree *t, uint32_t page)
{
    struct prefix_node *node = &t->nodes[page];
    assert(prefix_has(t, page) && !node->idle);
    node->idle = true;
    node->older = t->newest;
    node->newer = PREFIX_NONE;
    if (t->newest != PREFIX_NONE)
        t->nodes[t->newest].newer = page;
    else
        t->oldest = page;
    t->newest = page;
    t->n_idle++;
}

void prefix_used(struct prefix_tree *t, uint32_t page)
{
    struct prefix_node *node = &t->nodes[page];
    assert(node->idle);
    if (node->older != PREFIX_NONE)
        t->nodes[node->older].newer = node->newer;
    else
        t->oldest = node->newer;
    if (node->newer != PREFIX_NONE)
        t->nodes[node->newer].older = node->older;
    else
        t->newest = node->older;
    node->idle = false;
    t->n_idle--;
}

void prefix_touch(struct prefix_tree *t, uint32_t page)
{
    prefix_used(t, page);
    prefix_idle(t, page);
}

uint32_t prefix_give_away(struct prefix_tree *t)
{
    uint32_t page = t->oldest;
    if (page == PREFIX_NONE)
        return PREFIX_NONE;
    const struct prefix_node *node = &t->nodes[page];
    if (node->n_tokens == PREFIX_PAGE_TOKENS)
        t->given_away[bucket(t, node->hash)] = node->hash;
    t->n_given_away++;
    prefix_remove(t, page);
    return page;
}
