#include "server/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

static void of_v4(struct ip *out, const void *bytes)
{
    *out = (struct ip){ .kind = IP_V4 };
    memcpy(out->bytes, bytes, 4);
}

static void of_v6(struct ip *out, const void *bytes)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    if (memcmp(bytes, mapped, sizeof mapped) == 0) {
        of_v4(out, (const uint8_t *)bytes + sizeof mapped);
        return;
    }
    *out = (struct ip){ .kind = IP_V6 };
    memcpy(out->bytes, bytes, 16);
}

void ip_read(struct ip *out, const struct sockaddr *from)
{
    *out = (struct ip){ 0 };
    if (from && from->sa_family == AF_INET)
        of_v4(out, &((const struct sockaddr_in *)(const void *)from)->sin_addr);
    if (from && from->sa_family == AF_INET6)
        of_v6(out, &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr);
}

bool ip_parse(struct ip *out, struct str text)
{
    char copy[IP_TEXT_ROOM];
    uint8_t bytes[16];
    *out = (struct ip){ 0 };
    if (text.len == 0 || text.len >= sizeof copy || memchr(text.ptr, 0, text.len))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    if (inet_pton(AF_INET, copy, bytes) == 1)
        of_v4(out, bytes);
    else if (inet_pton(AF_INET6, copy, bytes) == 1)
        of_v6(out, bytes);
    return out->kind != IP_NONE;
}

bool ip_same(const struct ip *a, const struct ip *b)
{
    return a->kind != IP_NONE && a->kind == b->kind && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool ip_is_loopback(const struct ip *a)
{
    static const uint8_t one[16] = { [15] = 1 };
    return a->kind == IP_V4 ? a->bytes[0] == 127 : a->kind == IP_V6 && memcmp(a->bytes, one, sizeof one) == 0;
}

void ip_text(const struct ip *a, char out[IP_TEXT_ROOM])
{
    if (a->kind == IP_NONE || !inet_ntop(a->kind == IP_V4 ? AF_INET : AF_INET6, a->bytes, out, IP_TEXT_ROOM))
        out[0] = 0;
}

/* 0 to most, in digits alone; -1: it is no such number. */
static int read_number(struct str text, int most)
{
    int n = 0;
    if (text.len == 0)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return -1;
        n = n * 10 + (text.ptr[i] - '0');
        if (n > most)
            return -1;
    }
    return n;
}

bool network_parse(struct network *out, const char *text)
{
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    *out = (struct network){ 0 };
    if (!ip_parse(&out->ip, (struct str){ text, n }))
        return false;
    int most = out->ip.kind == IP_V4 ? 32 : 128;
    out->n_bits = slash ? read_number((struct str){ slash + 1, strlen(slash + 1) }, most) : most;
    return out->n_bits >= 0;
}

bool network_has(const struct network *n, const struct ip *a)
{
    size_t whole = (size_t)n->n_bits / 8;
    int rest = n->n_bits % 8;
    if (a->kind == IP_NONE || a->kind != n->ip.kind || memcmp(a->bytes, n->ip.bytes, whole) != 0)
        return false;
    return rest == 0 || (a->bytes[whole] ^ n->ip.bytes[whole]) >> (8 - rest) == 0;
}

/* ---- host and port ---- */

static bool is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.'
        || c == '_';
}

bool authority_read(struct authority *out, struct str text)
{
    enum { MOST = 255 };
    size_t n = 0;
    *out = (struct authority){ .port = -1 };
    if (text.len > 0 && text.ptr[0] == '[') {
        const char *end = memchr(text.ptr, ']', text.len);
        n = end ? (size_t)(end - text.ptr) : 0;
        if (!end || !ip_parse(&out->ip, (struct str){ text.ptr + 1, n - 1 }) || !memchr(text.ptr, ':', n))
            return false;
        out->host = (struct str){ text.ptr + 1, n - 1 };
        n++;
    } else {
        while (n < text.len && is_host_char(text.ptr[n]))
            n++;
        out->host = (struct str){ text.ptr, n };
        ip_parse(&out->ip, out->host);
        if (n > 1 && text.ptr[n - 1] == '.')
            out->host.len--;
    }
    if (n == text.len)
        return n <= MOST;
    if (n == 0 || n > MOST || text.ptr[n] != ':')
        return false;
    if (n + 1 == text.len) /* "localhost:" has no port, says RFC 3986 */
        return true;
    out->port = read_number((struct str){ text.ptr + n + 1, text.len - n - 1 }, 65535);
    return out->port >= 0;
}

bool host_is(const struct authority *a, const char *name)
{
    return a->host.len == strlen(name) && strncasecmp(a->host.ptr, name, a->host.len) == 0;
}
