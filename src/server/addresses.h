/* addresses.h: how many connections each address has. Not thread-safe: under the server's peer_lock. */
#pragma once
#include "server/network.h"

/* An IPv4 address, or the first 64 bits of an IPv6 one: so much of it a client can choose itself. */
struct address {
    uint8_t bytes[8];
    bool v6, counted; /* counted false: of this machine, or of no network: has no limit */
};
void address_of(struct address *out, const struct ip *ip);

/* Open addressing, at most half full: room for each of n_connections to have an address of its own. */
struct addresses {
    struct address_entry {
        struct address address;
        int n; /* 0: free */
    } *entry;
    size_t n_entries; /* a power of two */
    uint64_t salt;    /* nobody outside can choose addresses that collide */
    int most;         /* connections of one address; 0: as many as it likes */
};
bool addresses_init(struct addresses *a, int n_connections, int most); /* false: memory is out */
void addresses_free(struct addresses *a);
/* False: it has as many as it may. */
bool addresses_may(const struct addresses *a, const struct address *from);
void addresses_add(struct addresses *a, const struct address *from);
void addresses_remove(struct addresses *a, const struct address *from); /* what was added */
