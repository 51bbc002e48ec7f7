#include "text/prefix.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    const struct prefix_item *x = a, *y = b;
    int order = memcmp(x->text.ptr, y->text.ptr, min_size(x->text.len, y->text.len));
    if (order)
        return order;
    if (x->text.len != y->text.len)
        return x->text.len < y->text.len ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

/* One item a text: an ordinary token before others, else the first. */
static uint32_t drop_equals(struct prefix_item *item, uint32_t n, const struct vocab *v)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (kept == 0 || !str_eq(item[kept - 1].text, item[i].text))
            item[kept++] = item[i];
        else if (v->type[item[kept - 1].id] != TOKEN_NORMAL && v->type[item[i].id] == TOKEN_NORMAL)
            item[kept - 1] = item[i];
    }
    return kept;
}

bool prefix_build(struct prefix_set *s, const struct vocab *v, unsigned type_mask, struct arena *arena,
                  hearth_error *err)
{
    *s = (struct prefix_set){ .item = arena_array(arena, struct prefix_item, v->n_tokens) };
    if (!s->item)
        return fail_memory(err, "the table of tokens by their beginnings");
    for (int32_t i = 0; i < v->n_tokens; i++)
        if ((type_mask >> v->type[i] & 1) && v->text[i].len > 0)
            s->item[s->n++] = (struct prefix_item){ v->text[i], i };
    qsort(s->item, s->n, sizeof *s->item, compare);
    s->n = drop_equals(s->item, s->n, v);
    for (uint32_t i = 0; i < s->n; i++)
        s->first[(uint8_t)s->item[i].text.ptr[0] + 1]++;
    for (int b = 0; b < 256; b++)
        s->first[b + 1] += s->first[b];
    return true;
}

/* First of low..high-1, all longer than depth, whose byte there is at least `least`. */
static uint32_t narrow(const struct prefix_set *s, uint32_t low, uint32_t high, uint32_t depth, int least)
{
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if ((uint8_t)s->item[middle].text.ptr[depth] < least)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int32_t prefix_step(const struct prefix_set *s, struct prefix_walk *w, uint8_t byte)
{
    uint32_t depth = w->depth++;
    if (depth == 0) {
        w->low = s->first[byte];
        w->high = s->first[byte + 1];
    } else if (w->low < w->high) {
        const struct prefix_item *low = &s->item[w->low], *high = &s->item[w->high - 1];
        if ((uint8_t)low->text.ptr[depth] != byte || (uint8_t)high->text.ptr[depth] != byte) {
            w->low = narrow(s, w->low, w->high, depth, byte);
            w->high = narrow(s, w->low, w->high, depth, byte + 1);
        }
    }
    /* Sorted, and no two alike: the one that ends here comes first; it cannot match further. */
    if (w->low < w->high && s->item[w->low].text.len == depth + 1)
        return s->item[w->low++].id;
    return -1;
}
