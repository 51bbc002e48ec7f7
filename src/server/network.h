/* network.h: addresses of the Internet as bytes and as text, and ranges of them. Pure. */
#pragma once
#include "base/base.h"

struct sockaddr;

enum ip_kind { IP_NONE, IP_V4, IP_V6 };

/* IP_NONE: none, as of a Unix socket. An IPv4 address inside of an IPv6 one (::ffff:10.0.0.1) is the IPv4 one. */
struct ip {
    uint8_t bytes[16]; /* of IP_V4 the first four; the others are 0 */
    enum ip_kind kind;
};
enum { IP_TEXT_ROOM = 46 };

void ip_read(struct ip *out, const struct sockaddr *from); /* NULL, and what is of another family: IP_NONE */
/* "10.0.0.1", "2001:db8::1": all of the text, without brackets. */
bool ip_parse(struct ip *out, struct str text);
bool ip_same(const struct ip *a, const struct ip *b);
bool ip_is_loopback(const struct ip *a); /* 127.0.0.0/8, ::1 */
void ip_text(const struct ip *a, char out[IP_TEXT_ROOM]); /* "" for IP_NONE */

/* All addresses that have these first bits. */
struct network {
    struct ip ip;
    int n_bits;
};
bool network_parse(struct network *out, const char *text); /* "10.0.0.0/8", or one address */
bool network_has(const struct network *n, const struct ip *a);

/* "localhost:8080", "[::1]": the host and the port of a URL, as in Host and Origin. */
struct authority {
    struct str host; /* without brackets and without the dot at its end; may be empty */
    int port;        /* -1: none */
    struct ip ip;    /* of a host that is an address; else IP_NONE */
};
/* False: it is none. Names have letters, digits and "-._" (browsers send others as xn--). */
bool authority_read(struct authority *out, struct str text);
bool host_is(const struct authority *a, const char *name); /* in any case */
