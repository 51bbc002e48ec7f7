#include "server/addresses.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/rng.h"

void address_read(struct address *out, const struct sockaddr *from)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    const uint8_t *v4 = NULL;
    *out = (struct address){ 0 };
    if (!from)
        return;
    if (from->sa_family == AF_INET)
        v4 = (const uint8_t *)&((const struct sockaddr_in *)(const void *)from)->sin_addr;
    if (from->sa_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
        if (memcmp(a, mapped, sizeof mapped) == 0) {
            v4 = (const uint8_t *)a + sizeof mapped;
        } else {
            out->v6 = true;
            out->counted = !IN6_IS_ADDR_LOOPBACK(a);
            memcpy(out->bytes, a, sizeof out->bytes);
        }
    }
    if (v4) {
        memcpy(out->bytes, v4, 4);
        out->counted = v4[0] != 127;
    }
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
