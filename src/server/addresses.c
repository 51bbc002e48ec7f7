#include "server/addresses.h"

#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"

void address_of(struct address *out, const struct ip *ip)
{
    *out = (struct address){ .v6 = ip->kind == IP_V6, .counted = ip->kind != IP_NONE && !ip_is_loopback(ip) };
    memcpy(out->bytes, ip->bytes, sizeof out->bytes);
}

bool addresses_init(struct addresses *a, int n_connections, int most)
{
    *a = (struct addresses){ .n_entries = 16, .salt = rng_entropy(), .most = most };
    while (a->n_entries < 2 * (size_t)n_connections)
        a->n_entries *= 2;
    a->entry = mem_alloc(a->n_entries * sizeof *a->entry);
    return a->entry != NULL;
}

void addresses_free(struct addresses *a)
{
    mem_free(a->entry);
    *a = (struct addresses){ 0 };
}

static size_t home_of(const struct addresses *a, const struct address *from)
{
    uint64_t bits;
    memcpy(&bits, from->bytes, sizeof bits);
    return (size_t)rng_mix(bits ^ a->salt ^ (from->v6 ? UINT64_C(1) << 63 : 0)) & (a->n_entries - 1);
}

/* Where it is, or would be. */
static struct address_entry *find(const struct addresses *a, const struct address *from)
{
    size_t i = home_of(a, from);
    while (a->entry[i].n > 0
           && (a->entry[i].address.v6 != from->v6 || memcmp(a->entry[i].address.bytes, from->bytes, 8) != 0))
        i = (i + 1) & (a->n_entries - 1);
    return &a->entry[i];
}

bool addresses_may(const struct addresses *a, const struct address *from)
{
    return !from->counted || !a->most || find(a, from)->n < a->most;
}

void addresses_add(struct addresses *a, const struct address *from)
{
    if (!from->counted)
        return;
    struct address_entry *e = find(a, from);
    e->address = *from;
    e->n++;
}

void addresses_remove(struct addresses *a, const struct address *from)
{
    size_t mask = a->n_entries - 1;
    struct address_entry *e = from->counted ? find(a, from) : NULL;
    if (!e || e->n == 0 || --e->n > 0)
        return;
    /* What lies behind it and would not be found any more moves into the gap. */
    size_t gap = (size_t)(e - a->entry);
    for (size_t i = (gap + 1) & mask; a->entry[i].n > 0; i = (i + 1) & mask) {
        size_t home = home_of(a, &a->entry[i].address);
        if (((i - home) & mask) < ((i - gap) & mask))
            continue;
        a->entry[gap] = a->entry[i];
        a->entry[i].n = 0;
        gap = i;
    }
}
