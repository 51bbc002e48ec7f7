#include "server/forwarded.h"

#include <string.h>
#include <strings.h>

bool proxies_read(struct proxies *t, const char *const *texts, int n, hearth_error *err)
{
    *t = (struct proxies){ 0 };
    for (int i = 0; i < n; i++) {
        if (strcmp(texts[i], "unix") == 0)
            t->unix_socket = true;
        else if (t->n == PROXIES_MAX || !network_parse(&t->network[t->n++], texts[i]))
            return fail(err, HEARTH_ERR_USAGE, "--trusted-proxy '%.80s' is no address; give one, or a range as "
                        "10.0.0.0/8, or 'unix' for those that come through the Unix socket", texts[i]);
    }
    return true;
}

bool proxies_have(const struct proxies *t, const struct ip *peer)
{
    if (peer->kind == IP_NONE)
        return t->unix_socket;
    for (int i = 0; i < t->n; i++)
        if (network_has(&t->network[i], peer))
            return true;
    return false;
}

/* ---- the lists ---- */

/* The last elements, each as what should be an address. */
struct hops {
    struct str at[PROXIES_MAX];
    size_t n; /* of all; the last ones are in at[i % PROXIES_MAX] */
};

static struct str trim(struct str s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Up to the next separator that stands in no quotes (has_quotes: there may be some); *rest is what is behind it. */
static struct str cut(struct str *rest, char separator, bool has_quotes)
{
    bool quoted = false;
    size_t n = 0;
    for (; n < rest->len && (quoted || rest->ptr[n] != separator); n++) {
        if (has_quotes && rest->ptr[n] == '"')
            quoted = !quoted;
        else if (quoted && rest->ptr[n] == '\\' && n + 1 < rest->len)
            n++;
    }
    struct str piece = { rest->ptr, n };
    size_t used = n < rest->len ? n + 1 : n;
    *rest = (struct str){ rest->ptr + used, rest->len - used };
    return trim(piece);
}

/* "for" of one element of Forwarded; no address, if it has none. */
static struct str for_of(struct str element)
{
    while (element.len > 0) {
        struct str pair = cut(&element, ';', true);
        if (pair.len < 4 || strncasecmp(pair.ptr, "for=", 4) != 0)
            continue;
        struct str value = { pair.ptr + 4, pair.len - 4 };
        if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
            value = (struct str){ value.ptr + 1, value.len - 2 };
        return value;
    }
    return (struct str){ "", 0 };
}

static bool is_name(struct str s, const char *name)
{
    return s.len == strlen(name) && strncasecmp(s.ptr, name, s.len) == 0;
}

/* All headers of the name are one list, in their order. False: there is none. */
static bool read_hops(const struct head *h, const char *name, bool has_pairs, struct hops *out)
{
    bool found = false;
    out->n = 0;
    for (int i = 0; i < h->n_headers; i++) {
        struct str rest = h->header[i].value;
        if (!is_name(h->header[i].name, name))
            continue;
        found = true;
        while (rest.len > 0) {
            struct str element = cut(&rest, ',', has_pairs);
            if (element.len > 0)
                out->at[out->n++ % PROXIES_MAX] = has_pairs ? for_of(element) : element;
        }
    }
    return found;
}

/* A quote that nobody closes would hide what a proxy appends to the line. */
static bool has_open_quote(const struct head *h)
{
    for (int i = 0; i < h->n_headers; i++) {
        struct str v = h->header[i].value;
        bool quoted = false;
        if (!is_name(h->header[i].name, "Forwarded"))
            continue;
        for (size_t n = 0; n < v.len; n++) {
            if (v.ptr[n] == '"')
                quoted = !quoted;
            else if (quoted && v.ptr[n] == '\\')
                n++;
        }
        if (quoted)
            return true;
    }
    return false;
}

/* "10.0.0.1", "10.0.0.1:80", "2001:db8::1", "[2001:db8::1]:80" */
static bool read_address(struct str text, struct ip *out)
{
    struct authority a;
    if (ip_parse(out, text))
        return true;
    if (!authority_read(&a, text))
        return false;
    *out = a.ip;
    return a.ip.kind != IP_NONE;
}

static void walk(const struct proxies *t, const struct hops *hops, struct ip *client)
{
    for (size_t i = 0; i < min_size(hops->n, PROXIES_MAX) && proxies_have(t, client); i++) {
        struct ip hop;
        if (!read_address(hops->at[(hops->n - 1 - i) % PROXIES_MAX], &hop))
            return;
        *client = hop;
    }
}

bool forwarded_client(const struct proxies *t, const struct head *h, const struct ip *peer, struct ip *client,
                      struct problem *p)
{
    struct hops hops;
    struct ip other = *peer;
    *client = *peer;
    if (!proxies_have(t, peer))
        return true;
    if (has_open_quote(h))
        return refuse(p, PROBLEM_bad_framing, NULL, "the Forwarded header has a quote that is not closed; the proxy "
                      "should drop what clients send of it");
    bool standard = read_hops(h, "Forwarded", true, &hops);
    if (standard)
        walk(t, &hops, &other);
    if (read_hops(h, "X-Forwarded-For", false, &hops))
        walk(t, &hops, client);
    else
        *client = other;
    if (!standard || (client->kind == other.kind && memcmp(client->bytes, other.bytes, sizeof other.bytes) == 0))
        return true;
    return refuse(p, PROBLEM_bad_framing, NULL, "Forwarded and X-Forwarded-For name different clients; the proxy "
                  "should drop the one that it does not write itself");
}

bool forwarded_says(const struct head *h)
{
    static const char *const names[] = { "Forwarded", "X-Forwarded-For", "X-Real-IP", "Via" };
    for (int i = 0; i < h->n_headers; i++)
        for (size_t k = 0; k < ARRAY_LEN(names); k++)
            if (is_name(h->header[i].name, names[k]))
                return true;
    return false;
}
