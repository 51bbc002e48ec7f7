#include "server/origin.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Desktop programs and editors show pages of these schemes, which no site can have. */
static const char *const local_schemes[] = { "app", "file", "tauri", "vscode-webview" };

static bool is_text(struct str s, const char *text)
{
    return s.len == strlen(text) && strncasecmp(s.ptr, text, s.len) == 0;
}

/* Quoted in a message, at most so much of it. */
static int shown(struct str s) { return (int)min_size(s.len, 100); }

/* The only one of that name; *n: how many there are. */
static struct str header(const struct head *h, const char *name, int *n)
{
    struct str value = { NULL, 0 };
    *n = 0;
    for (int i = 0; i < h->n_headers; i++) {
        if (is_text(h->header[i].name, name)) {
            value = h->header[i].value;
            ++*n;
        }
    }
    return value;
}

/* ---- names of this server ---- */

static bool ends_with(struct str s, const char *end)
{
    size_t n = strlen(end);
    return s.len > n && strncasecmp(s.ptr + s.len - n, end, n) == 0;
}

static bool is_localhost(const struct authority *a)
{
    return host_is(a, "localhost") || ip_is_loopback(&a->ip);
}

/* "[::1]" and "::1" are one; so are two ways to write an address. */
static bool is_host(const struct authority *a, const char *name)
{
    struct ip ip;
    size_t n = strlen(name);
    bool in_brackets = n > 2 && name[0] == '[' && name[n - 1] == ']';
    struct str bare = { name + in_brackets, n - 2 * (size_t)in_brackets };
    if (ip_parse(&ip, bare))
        return ip_same(&ip, &a->ip);
    return host_is(a, name);
}

static bool is_allowed_host(const struct origin_rules *r, const struct authority *a)
{
    for (int i = 0; i < r->n_hosts; i++) {
        const char *host = r->hosts[i];
        if (strcmp(host, "*") == 0 || (host[0] == '*' ? ends_with(a->host, host + 1) : is_host(a, host)))
            return true;
    }
    return false;
}

static bool is_ours(const struct arrival *from, const struct authority *a)
{
    return is_allowed_host(from->rules, a)
        || (a->host.len > 0
            && (is_localhost(a) || ip_same(&a->ip, from->local)
                || (from->rules->bound && is_host(a, from->rules->bound))));
}

static bool guard_host(const struct arrival *from, const char *what, struct str value, struct problem *p)
{
    struct authority a;
    if (!authority_read(&a, value))
        return refuse(p, PROBLEM_bad_framing, NULL, "%s is '%.*s', which is no host and port", what, shown(value),
                      value.ptr);
    if (is_ours(from, &a))
        return true;
    if (a.host.len == 0)
        return refuse(p, PROBLEM_foreign_host, NULL, "the request names no host; send Host, or start the server with "
                      "--allow-host '*', which takes any");
    return refuse(p, PROBLEM_foreign_host, NULL, "%s is '%.*s', which is no name of this server; if it should be one, "
                  "start it with --allow-host %.*s", what, shown(value), value.ptr, shown(a.host), a.host.ptr);
}

/* ---- pages ---- */

struct origin {
    struct str scheme, rest;  /* "https", "chat.example:8443" */
    struct authority at;
    bool is_web;              /* http or https, and `at` is what it should be */
};

static bool is_scheme(struct str s)
{
    static const char also[] = "0123456789+-.";
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && (i == 0 || !memchr(also, c, sizeof also - 1)))
            return false;
    }
    return s.len > 0;
}

static bool origin_read(struct origin *o, struct str text)
{
    size_t n = str_search(text, STR("://"));
    *o = (struct origin){ 0 };
    if (n == SIZE_MAX)
        return false;
    o->scheme = (struct str){ text.ptr, n };
    o->rest = (struct str){ text.ptr + n + 3, text.len - n - 3 };
    if (!is_scheme(o->scheme))
        return false;
    o->is_web = (is_text(o->scheme, "http") || is_text(o->scheme, "https")) && o->rest.len > 0
        && authority_read(&o->at, o->rest) && o->at.host.len > 0;
    return true;
}

/* The port that a URL of this scheme means. */
static int port_of(const struct authority *a, struct str scheme)
{
    return a->port >= 0 ? a->port : is_text(scheme, "https") ? 443 : 80;
}

static bool same_host(const struct authority *a, const struct authority *b)
{
    bool same_text = a->host.len == b->host.len && strncasecmp(a->host.ptr, b->host.ptr, a->host.len) == 0;
    return a->ip.kind == IP_NONE ? same_text && b->ip.kind == IP_NONE : ip_same(&a->ip, &b->ip);
}

/* One of --allow-origin. */
static bool matches(const char *pattern, struct str text, const struct origin *o)
{
    struct origin want;
    size_t n = strlen(pattern);
    bool any_port = n > 2 && strcmp(pattern + n - 2, ":*") == 0;
    if (strcmp(pattern, "*") == 0 || is_text(text, pattern))
        return true;
    if (!o || !origin_read(&want, (struct str){ pattern, n - (any_port ? 2 : 0) })
        || want.scheme.len != o->scheme.len || strncasecmp(want.scheme.ptr, o->scheme.ptr, o->scheme.len) != 0)
        return false;
    if (is_text(want.rest, "*"))
        return true;
    return want.is_web && o->is_web && same_host(&want.at, &o->at)
        && (any_port || port_of(&want.at, want.scheme) == port_of(&o->at, o->scheme));
}

static bool is_listed(const struct origin_rules *r, struct str text)
{
    struct origin o;
    bool read = origin_read(&o, text);
    for (int i = 0; i < r->n_origins; i++)
        if (matches(r->origins[i], text, read ? &o : NULL))
            return true;
    for (size_t i = 0; read && i < ARRAY_LEN(local_schemes); i++)
        if (is_text(o.scheme, local_schemes[i]))
            return true;
    return read && o.is_web && is_localhost(&o.at);
}

/* A page that came from here. Its scheme may be another than ours: a proxy may speak TLS for us. */
static bool is_same(const struct arrival *from, const struct head *h, struct str text)
{
    struct origin o;
    struct authority host;
    int n;
    struct str value = header(h, "Host", &n);
    return n == 1 && authority_read(&host, value) && is_ours(from, &host) && origin_read(&o, text) && o.is_web
        && same_host(&o.at, &host) && port_of(&o.at, o.scheme) == port_of(&host, o.scheme);
}

static bool says_cross_site(const struct head *h)
{
    for (int i = 0; i < h->n_headers; i++)
        if (is_text(h->header[i].name, "Sec-Fetch-Site") && is_text(h->header[i].value, "cross-site"))
            return true;
    return false;
}

static bool any_page(const struct origin_rules *r)
{
    for (int i = 0; i < r->n_origins; i++)
        if (strcmp(r->origins[i], "*") == 0)
            return true;
    return false;
}

static bool guard_page(const struct arrival *from, const struct head *h, struct problem *p)
{
    int n;
    struct str origin = header(h, "Origin", &n);
    bool cross = says_cross_site(h);
    if (n > 1)
        return refuse(p, PROBLEM_bad_framing, NULL, "there are %d Origin headers; send one", n);
    if (n == 0)
        return !cross || any_page(from->rules)
            || refuse(p, PROBLEM_foreign_origin, NULL, "a page of another site sent this (Sec-Fetch-Site) without "
                      "saying which (Origin); open the address by hand, or start the server with --allow-origin '*', "
                      "which lets every page ask");
    if (is_listed(from->rules, origin) || (!cross && is_same(from, h, origin)))
        return true;
    bool none = is_text(origin, "null");
    return refuse(p, PROBLEM_foreign_origin, NULL, "Origin is '%.*s', and %s may not ask here; if they should, start "
                  "the server with --allow-origin %.*s", shown(origin), origin.ptr,
                  none ? "pages that hide where they come from" : "pages from there", shown(origin), origin.ptr);
}

bool origin_guard(const struct arrival *a, const struct head *h, struct str authority, struct problem *p)
{
    int n;
    struct str host = header(h, "Host", &n);
    if (authority.ptr && !guard_host(a, "the host in the request line", authority, p))
        return false;
    if (!a->any_host && !guard_host(a, "Host", host, p))
        return false;
    return guard_page(a, h, p);
}

void origin_target(struct head *h, struct str *authority)
{
    static const char *const schemes[] = { "http://", "https://" };
    *authority = (struct str){ NULL, 0 };
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        size_t n = strlen(schemes[i]);
        if (strncasecmp(h->path, schemes[i], n) != 0)
            continue;
        const char *at = h->path + n, *slash = strchr(at, '/');
        *authority = (struct str){ at, slash ? (size_t)(slash - at) : strlen(at) };
        h->path = slash ? slash : "/";
        return;
    }
}

/* ---- answers that pages may read ---- */

bool origin_is_preflight(const struct head *h)
{
    return strcmp(h->method, "OPTIONS") == 0 && head_value(h, "Origin").ptr
        && head_value(h, "Access-Control-Request-Method").ptr;
}

/* Every header that a page wants to send: none of them matters here, but for the key, which is looked at. */
static void put_asked_headers(const struct head *h, void (*put)(void *arg, const char *name, const char *value),
                              void *arg)
{
    char text[1024];
    struct str asked = head_value(h, "Access-Control-Request-Headers");
    if (!asked.ptr || asked.len == 0 || asked.len >= sizeof text)
        asked = STR("authorization, content-type, x-api-key, x-request-id");
    snprintf(text, sizeof text, "%.*s", (int)asked.len, asked.ptr);
    put(arg, "Access-Control-Allow-Headers", text);
}

void origin_headers(const struct arrival *a, const struct head *h,
                    void (*put)(void *arg, const char *name, const char *value), void *arg)
{
    char text[512];
    int n;
    struct problem p = { 0 };
    struct str origin = header(h, "Origin", &n);
    if (n != 1 || origin.len >= sizeof text || !guard_page(a, h, &p))
        return;
    snprintf(text, sizeof text, "%.*s", (int)origin.len, origin.ptr);
    put(arg, "Access-Control-Allow-Origin", any_page(a->rules) ? "*" : text);
    put(arg, "Vary", "Origin");
    if (!origin_is_preflight(h)) {
        put(arg, "Access-Control-Expose-Headers", "Retry-After, X-Request-Id, x-ratelimit-limit-tokens, "
            "x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens");
        return;
    }
    put(arg, "Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE");
    put_asked_headers(h, put, arg);
    put(arg, "Access-Control-Max-Age", "600");
    if (head_value(h, "Access-Control-Request-Private-Network").ptr)
        put(arg, "Access-Control-Allow-Private-Network", "true");
}

/* ---- the options ---- */

static bool check_host(const char *host, hearth_error *err)
{
    struct authority a;
    struct ip ip;
    const char *name = host[0] == '*' && host[1] == '.' ? host + 2 : host;
    if (strcmp(host, "*") == 0 || ip_parse(&ip, str_z(host)))
        return true;
    if (!authority_read(&a, str_z(name)) || a.host.len == 0)
        return fail(err, HEARTH_ERR_USAGE, "--allow-host '%.80s' is no host; give a name or an address, *.NAME for all "
                    "that end so, or '*' for any", host);
    if (a.port >= 0)
        return fail(err, HEARTH_ERR_USAGE, "--allow-host '%.80s' has a port; give the host alone, it holds for every "
                    "port", host);
    return true;
}

static bool check_origin(const char *text, hearth_error *err)
{
    struct origin o;
    size_t n = strlen(text);
    bool any_port = n > 2 && strcmp(text + n - 2, ":*") == 0;
    if (strcmp(text, "*") == 0 || strcmp(text, "null") == 0)
        return true;
    bool read = origin_read(&o, (struct str){ text, n - (any_port ? 2 : 0) });
    bool web = read && (is_text(o.scheme, "http") || is_text(o.scheme, "https"));
    if (read && (is_text(o.rest, "*") || (web ? o.is_web && !(any_port && o.at.port >= 0) : !strchr(o.rest.ptr, '/'))))
        return true;
    return fail(err, HEARTH_ERR_USAGE, "--allow-origin '%.80s' is no origin; give SCHEME://HOST or SCHEME://HOST:PORT "
                "without a path, as https://chat.example, http://HOST:* for any port, or '*' for every page", text);
}

bool origin_rules_check(const struct origin_rules *r, hearth_error *err)
{
    for (int i = 0; i < r->n_hosts; i++)
        if (!check_host(r->hosts[i], err))
            return false;
    for (int i = 0; i < r->n_origins; i++)
        if (!check_origin(r->origins[i], err))
            return false;
    return true;
}
