#include "store/http_client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "store/foreign.h"

#define SOCKET_PREFIX "unix:"
enum {
    MOST_HEADER_BYTES = 64 << 10, /* of an answer, all lines together */
    SOCKET_PATH_BYTES = 108       /* of a Unix socket, with the NUL: unix(7) */
};

struct http_client {
    CURL *easy;
    const char *ca_file;
    char socket[HTTP_PLACE_BYTES]; /* "unix:PATH"; "": connections are by the address */
    char detail[CURL_ERROR_SIZE]; /* what libcurl says of the last failure */
};

/* One request under way. */
struct transfer {
    CURL *easy;
    const struct http_request *r;
    struct http_answer *answer;
    const char *place;
    hearth_error *err;
    size_t n_header, n_body;
    bool refused; /* err says why */
    bool stopped;
};

/* ---- addresses ---- */

/* 127.a.b.c as libcurl writes it: names that only begin so are none. */
static bool is_loopback_ipv4(const char *host)
{
    int n_dots = 0;
    if (strncmp(host, "127.", 4) != 0 || strspn(host, "0123456789.") != strlen(host))
        return false;
    for (const char *p = host; *p; p++)
        n_dots += *p == '.';
    return n_dots == 3;
}

static bool part_is_there(CURLU *u, CURLUPart part)
{
    char *text = NULL;
    bool there = curl_url_get(u, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return there;
}

static bool read_place(CURLU *u, const char *url, bool redirect, struct http_place *out, hearth_error *err)
{
    char *scheme = NULL, *host = NULL, *port = NULL;
    char shown[100];
    foreign_line(shown, sizeof shown, str_z(url));
    bool ok = curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK
           && curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK
           && curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK
           && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    if (!ok) {
        fail(err, HEARTH_ERR_USAGE, "'%s' is no address of a server; write it as https://api.example.com/v1 or "
             "http://127.0.0.1:8080", strchr(shown, '@') ? "..." : shown);
    } else if (part_is_there(u, CURLUPART_USER) || part_is_there(u, CURLUPART_PASSWORD)) {
        ok = fail(err, HEARTH_ERR_USAGE, "the address of %.100s has a user's name or password in it; take it out, a "
                  "key goes into a file", host);
    } else if (!redirect && (part_is_there(u, CURLUPART_QUERY) || part_is_there(u, CURLUPART_FRAGMENT))) {
        ok = fail(err, HEARTH_ERR_USAGE, "'%s' has a '?' or '#' in it; give the address without", shown);
    } else {
        bool said = curl_url_get(u, CURLUPART_PORT, &port, 0) == CURLUE_OK;
        char name[HTTP_PLACE_BYTES];
        snprintf(name, sizeof name, "%.200s%s%.8s", host, said ? ":" : "", said ? port : "");
        foreign_line(out->name, sizeof out->name, str_z(name));
        out->is_tls = strcmp(scheme, "https") == 0;
        out->is_here = strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 || is_loopback_ipv4(host);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    return ok;
}

static bool place_of(const char *url, bool redirect, struct http_place *out, hearth_error *err)
{
    int room = redirect ? HTTP_REDIRECT_BYTES : HTTP_URL_BYTES;
    *out = (struct http_place){ 0 };
    if (strlen(url) >= (size_t)room)
        return fail(err, HEARTH_ERR_USAGE, "the address of the server has %zu bytes; at most %d are taken", strlen(url),
                    room - 1);
    CURLU *u = curl_url();
    if (!u)
        return fail_memory(err, "the address of the server");
    bool ok = read_place(u, url, redirect, out, err);
    curl_url_cleanup(u);
    return ok;
}

bool http_place_of(const char *url, struct http_place *out, hearth_error *err)
{
    return place_of(url, false, out, err);
}

bool http_place_of_redirect(const char *url, struct http_place *out, hearth_error *err)
{
    return place_of(url, true, out, err);
}

/* ---- what headers say ---- */

static bool take_number(const char **at, uint64_t *out)
{
    const char *p = *at;
    *out = 0;
    for (; *p >= '0' && *p <= '9'; p++)
        if (!mul_ok(*out, 10, out) || !add_ok(*out, (uint64_t)(*p - '0'), out))
            return false;
    bool any = p > *at;
    *at = p;
    return any;
}

bool http_content_range(const char *text, uint64_t *first, uint64_t *last, uint64_t *total)
{
    const char *at = text;
    if (strncmp(at, "bytes ", 6) != 0)
        return false;
    at += 6;
    if (at[0] == '*' && at[1] == '/') {
        at += 2;
        *first = 1;
        *last = 0;
        return take_number(&at, total) && !*at;
    }
    return take_number(&at, first) && *at++ == '-' && take_number(&at, last) && *at++ == '/' && take_number(&at, total)
        && !*at && *first <= *last && *last < *total;
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

/* `text` begins with that word (in small letters), whatever case it has. */
static bool begins(struct str text, const char *word)
{
    size_t i = 0;
    while (word[i] && i < text.len && lower(text.ptr[i]) == word[i])
        i++;
    return !word[i];
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* The value of a header line that has this name (in small letters). */
static bool header_value(struct str line, const char *name, struct str *value)
{
    size_t from = strlen(name);
    if (!begins(line, name) || from >= line.len || line.ptr[from++] != ':')
        return false;
    while (from < line.len && is_blank(line.ptr[from]))
        from++;
    while (line.len > from && is_blank(line.ptr[line.len - 1]))
        line.len--;
    *value = (struct str){ line.ptr + from, line.len - from };
    return true;
}

/* Into out, where it is the header of that name; one that does not fit is none. */
static void keep_header(char *out, size_t room, const char *name, struct str line)
{
    struct str value;
    if (!header_value(line, name, &value))
        return;
    bool plain = value.len < room;
    for (size_t i = 0; i < value.len; i++)
        plain &= value.ptr[i] > 0x20 || (value.ptr[i] == ' ' && room < HTTP_ETAG_BYTES); /* an ETag has no spaces */
    out[0] = 0;
    if (!plain)
        return;
    memcpy(out, value.ptr, value.len);
    out[value.len] = 0;
}

static struct str after(struct str s, size_t n) { return (struct str){ s.ptr + n, s.len - n }; }

/* How long what stands in front of one of `ends` is; what is quoted counts as it is. */
static size_t span_until(struct str s, const char *ends)
{
    bool quoted = false;
    size_t i = 0;
    for (; i < s.len && (quoted || s.ptr[i] == 0 || !strchr(ends, s.ptr[i])); i++)
        quoted ^= s.ptr[i] == '"';
    return i;
}

/* 'rel=next', 'rel="prev next"' */
static bool is_rel_next(struct str parameter)
{
    while (parameter.len > 0 && is_blank(parameter.ptr[0]))
        parameter = after(parameter, 1);
    if (!begins(parameter, "rel="))
        return false;
    for (parameter = after(parameter, 4); parameter.len > 0;) {
        size_t n = 0;
        while (n < parameter.len && !is_blank(parameter.ptr[n]) && parameter.ptr[n] != '"')
            n++;
        if (n == 4 && begins(parameter, "next"))
            return true;
        parameter = after(parameter, n < parameter.len ? n + 1 : n);
    }
    return false;
}

static int take_link(struct str address, char *out, size_t room)
{
    if (address.len == 0 || address.len >= room)
        return -1;
    for (size_t i = 0; i < address.len; i++)
        if (address.ptr[i] <= 0x20 || address.ptr[i] >= 0x7f)
            return -1;
    memcpy(out, address.ptr, address.len);
    out[address.len] = 0;
    return 1;
}

int http_link_next(struct str value, char *out, size_t room)
{
    out[0] = 0;
    while (value.len > 0) {
        size_t n = 0;
        while (n < value.len && value.ptr[n] != '<')
            n++;
        value = after(value, n < value.len ? n + 1 : n);
        for (n = 0; n < value.len && value.ptr[n] != '>';)
            n++;
        struct str address = { value.ptr, n };
        value = after(value, n < value.len ? n + 1 : n);
        bool next = false;
        do { /* the parameters, each behind a ';' */
            n = span_until(value, ";,");
            next |= is_rel_next((struct str){ value.ptr, n });
            value = after(value, n);
            bool more = value.len > 0 && value.ptr[0] == ';';
            value = after(value, value.len > 0);
            if (!more)
                break;
        } while (value.len > 0);
        if (next)
            return take_link(address, out, room);
    }
    return 0;
}

/* ---- what libcurl calls ---- */

static void read_head(const struct transfer *t)
{
    long status = 0;
    curl_off_t wait = 0, n_content = -1;
    char *type = NULL;
    struct http_answer *a = t->answer;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &wait);
    curl_easy_getinfo(t->easy, CURLINFO_CONTENT_TYPE, &type);
    curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &n_content);
    a->n_content = n_content < 0 ? UINT64_MAX : (uint64_t)n_content;
    a->status = (int)status;
    a->retry_after_s = wait;
    foreign_hide(type, type ? strlen(type) : 0, t->r->key);
    foreign_line(a->content_type, sizeof a->content_type, (struct str){ type, type ? strcspn(type, "; \t") : 0 });
    for (char *p = a->content_type; *p; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
}

static size_t on_header(char *bytes, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    struct http_answer *a = t->answer;
    n *= size;
    const struct str line = { bytes, n };
    struct str link;
    t->n_header += n;
    if (n >= 5 && memcmp(bytes, "HTTP/", 5) == 0) /* what came before was not the answer yet (100 Continue) */
        a->etag[0] = a->content_range[0] = a->next[0] = a->has_next = 0;
    keep_header(a->etag, sizeof a->etag, "etag", line);
    keep_header(a->content_range, sizeof a->content_range, "content-range", line);
    if (header_value(line, "link", &link) && !a->has_next)
        a->has_next = http_link_next(link, a->next, sizeof a->next) != 0;
    foreign_hide(a->etag, strlen(a->etag), t->r->key);
    if (t->n_header <= MOST_HEADER_BYTES)
        return n;
    fail(t->err, HEARTH_ERR_FORMAT, "%s: the headers of its answer have more than %d bytes; is the address right?",
         t->place, MOST_HEADER_BYTES);
    t->refused = true;
    return 0;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    n *= size;
    if (t->n_body == 0)
        read_head(t);
    if (n > t->r->most_bytes - t->n_body) {
        t->refused = true;
        fail(t->err, HEARTH_ERR_FORMAT, "%s: its answer has more than %zu bytes; %s", t->place, t->r->most_bytes,
             t->r->too_long ? t->r->too_long : "ask for fewer tokens");
        return 0;
    }
    t->n_body += n;
    if (t->r->take(t->r->arg, t->answer, bytes, n, t->err))
        return n;
    t->refused = true;
    return 0;
}

static int on_progress(void *arg, curl_off_t down_all, curl_off_t down, curl_off_t up_all, curl_off_t up)
{
    struct transfer *t = arg;
    (void)down_all, (void)down, (void)up_all, (void)up;
    t->stopped = t->r->stop && t->r->stop(t->r->arg);
    return t->stopped;
}

/* 10/8, 172.16/12, 192.168/16, 127/8, 169.254/16, 100.64/10, 0/8, and their like of IPv6, with what is mapped to it. */
static bool is_private_address(const char *ip)
{
    unsigned a = 0, b = 0;
    const char *v4 = strncmp(ip, "::ffff:", 7) == 0 && strchr(ip, '.') ? ip + 7 : ip;
    if (sscanf(v4, "%3u.%3u.", &a, &b) == 2)
        return a == 10 || a == 127 || a == 0 || (a == 172 && b >= 16 && b < 32) || (a == 192 && b == 168)
            || (a == 169 && b == 254) || (a == 100 && b >= 64 && b < 128);
    return strcmp(ip, "::1") == 0 || strcmp(ip, "::") == 0 || strncmp(ip, "fc", 2) == 0 || strncmp(ip, "fd", 2) == 0
        || (strncmp(ip, "fe", 2) == 0 && strchr("89ab", ip[2]));
}

/* There is a connection, and nothing went over it yet. */
static int on_connected(void *arg, char *ip, char *own_ip, int port, int own_port)
{
    struct transfer *t = arg;
    (void)own_ip, (void)port, (void)own_port;
    t->answer->is_private = is_private_address(ip);
    if (!t->answer->is_private || !t->r->no_private)
        return CURL_PREREQFUNC_OK;
    fail(t->err, HEARTH_ERR_FORMAT, "%s is %.60s, an address inside a private network, and the answer that points "
         "there came from outside; this is not followed", t->place, ip);
    t->refused = true;
    return CURL_PREREQFUNC_ABORT;
}

/* ---- a request ---- */

bool http_key_may_go(const struct http_place *place, const char *key, hearth_error *err)
{
    if (!place->is_tls && !place->is_here)
        return fail(err, HEARTH_ERR_USAGE, "%s: a key is not sent over http, where others can read it; use https, or a "
                    "server on this machine", place->name);
    for (const unsigned char *p = (const unsigned char *)key; *p; p++)
        if (*p <= 0x20 || *p >= 0x7f)
            return fail(err, HEARTH_ERR_USAGE, "%s: the key has a space or another character in it that no key has",
                        place->name);
    return true;
}

/* Sticky. */
static void add_header(struct curl_slist **list, bool *failed, const char *name, const char *value)
{
    char line[4096];
    int n = snprintf(line, sizeof line, "%s%s", name, value);
    struct curl_slist *longer = n < (int)sizeof line ? curl_slist_append(*list, line) : NULL;
    *failed |= !longer;
    *list = longer ? longer : *list;
}

static struct curl_slist *make_headers(const struct http_request *r)
{
    struct curl_slist *list = NULL;
    bool failed = false;
    add_header(&list, &failed, "Accept: ", r->accept);
    add_header(&list, &failed, "Expect:", ""); /* no second round trip before a long body */
    if (r->body)
        add_header(&list, &failed, "Content-Type: ", "application/json");
    if (r->range)
        add_header(&list, &failed, "Range: bytes=", r->range);
    if (r->if_range)
        add_header(&list, &failed, "If-Range: ", r->if_range);
    if (r->key)
        add_header(&list, &failed, "Authorization: Bearer ", r->key);
    if (!failed)
        return list;
    curl_slist_free_all(list);
    return NULL;
}

static void set_up(struct http_client *c, struct transfer *t, const struct http_place *place,
                   struct curl_slist *headers)
{
    const struct http_request *r = t->r;
    CURL *easy = c->easy;
    curl_easy_reset(easy); /* connections stay */
    c->detail[0] = 0;
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, c->detail);
    curl_easy_setopt(easy, CURLOPT_URL, r->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    if (c->ca_file) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, c->ca_file);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (place->is_here) /* nothing for this machine goes through a proxy, whatever the environment says */
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
    if (c->socket[0])
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, c->socket + strlen(SOCKET_PREFIX));
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "hearth/" HEARTH_VERSION);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)r->connect_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)r->total_ms);
    if (r->stall_s > 0) {
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)HTTP_STALL_BYTES);
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)r->stall_s);
        curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L << 10);
    }
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, t);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, t);
    if (r->body) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->n_body);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->body);
    }
}

static void read_times(const struct transfer *t)
{
    curl_off_t connect_us = 0, tls_us = 0;
    long n_connects = 0;
    char *location = NULL;
    curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &n_connects);
    curl_easy_getinfo(t->easy, CURLINFO_CONNECT_TIME_T, &connect_us);
    curl_easy_getinfo(t->easy, CURLINFO_APPCONNECT_TIME_T, &tls_us);
    curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &location);
    if (n_connects > 0)
        t->answer->connect_ms = (double)(tls_us > connect_us ? tls_us : connect_us) / 1e3;
    foreign_hide(location, location ? strlen(location) : 0, t->r->key);
    if (location && strlen(location) < sizeof t->answer->redirect)
        strcpy(t->answer->redirect, location);
    foreign_line(t->answer->location, sizeof t->answer->location, str_z(location));
}

/* Nothing went out yet when time was over. */
static bool was_connecting(const struct transfer *t)
{
    curl_off_t ready_us = 0;
    curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &ready_us);
    return ready_us == 0;
}

static bool describe(const struct transfer *t, CURLcode code, const char *said)
{
    char detail[160];
    long number = 0;
    const struct http_request *r = t->r;
    foreign_line(detail, sizeof detail, str_z(said[0] ? said : curl_easy_strerror(code)));
    curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &number);
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        return fail(t->err, HEARTH_ERR_IO, "%s: this name is not known; check it, and the network", t->place);
    case CURLE_COULDNT_RESOLVE_PROXY:
        return fail(t->err, HEARTH_ERR_IO, "%s: the name of the proxy is not known; check http_proxy, https_proxy and "
                    "all_proxy in the environment", t->place);
    case CURLE_COULDNT_CONNECT:
        return fail(t->err, HEARTH_ERR_IO, "%s: no connection: %s; is the server running, and is the %s right?",
                    t->place, number ? strerror((int)number) : detail,
                    strncmp(t->place, SOCKET_PREFIX, strlen(SOCKET_PREFIX)) == 0 ? "path" : "port");
    case CURLE_OPERATION_TIMEDOUT:
        if (was_connecting(t))
            return fail(t->err, HEARTH_ERR_IO, "%s: no connection within %.3g s; check the address and the network",
                        t->place,
                        (r->total_ms == 0 || r->connect_ms < r->total_ms ? r->connect_ms : r->total_ms) / 1e3);
        if (r->total_ms == 0)
            return fail(t->err, HEARTH_ERR_IO, "%s: it stalled: less than %d bytes a second for %d s", t->place,
                        HTTP_STALL_BYTES, r->stall_s);
        return fail(t->err, HEARTH_ERR_IO, "%s: the answer was not whole after %.3g s; allow more time (--timeout)",
                    t->place, r->total_ms / 1e3);
    case CURLE_PEER_FAILED_VERIFICATION:
        return fail(t->err, HEARTH_ERR_IO, "%s: its certificate is not trusted: %s; --ca-file names one to trust",
                    t->place, detail);
    case CURLE_SSL_CACERT_BADFILE:
        return fail(t->err, HEARTH_ERR_IO, "%s: the certificates to trust cannot be read: %s", t->place, detail);
    case CURLE_SSL_CONNECT_ERROR:
        return fail(t->err, HEARTH_ERR_IO, "%s: TLS cannot be agreed on: %s; does the server speak https?", t->place,
                    detail);
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        return fail(t->err, HEARTH_ERR_FORMAT, "%s: what answers there does not speak HTTP (%s); is the port right?",
                    t->place, detail);
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return fail(t->err, HEARTH_ERR_IO, "%s: the connection ended before the answer did (%s); try again", t->place,
                    detail);
    case CURLE_OUT_OF_MEMORY:
        return fail_memory(t->err, "the request");
    default:
        return fail(t->err, HEARTH_ERR_IO, "%s: %s", t->place, detail);
    }
}

bool http_send(struct http_client *c, const struct http_request *r, struct http_answer *answer, hearth_error *err)
{
    struct http_place place;
    *answer = (struct http_answer){ .n_content = UINT64_MAX };
    if (!place_of(r->url, r->any_query, &place, err) || (r->key && !http_key_may_go(&place, r->key, err)))
        return false;
    struct transfer t = { .easy = c->easy, .r = r, .answer = answer, .place = c->socket[0] ? c->socket : place.name,
                          .err = err };
    struct curl_slist *headers = make_headers(r);
    if (!headers)
        return fail_memory(err, "the request");
    set_up(c, &t, &place, headers);
    CURLcode code = curl_easy_perform(c->easy);
    read_head(&t);
    read_times(&t);
    bool ok = code == CURLE_OK;
    if (t.stopped)
        ok = fail(err, HEARTH_ERR_CANCELLED, "%s: interrupted before the answer was whole", t.place);
    else if (!ok && !t.refused)
        ok = describe(&t, code, c->detail);
    curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, NULL); /* it has the key */
    curl_slist_free_all(headers);
    return ok;
}

struct http_client *http_client_create(const char *ca_file, hearth_error *err)
{
    struct http_client *c = mem_alloc(sizeof *c);
    if (c && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        mem_free(c);
        c = NULL;
    } else if (c && !(c->easy = curl_easy_init())) {
        curl_global_cleanup();
        mem_free(c);
        c = NULL;
    }
    if (c)
        c->ca_file = ca_file;
    else
        fail_memory(err, "the connection");
    return c;
}

bool http_client_through(struct http_client *c, const char *socket, hearth_error *err)
{
    size_t n = strlen(socket + strlen(SOCKET_PREFIX));
    if (n == 0 || n >= SOCKET_PATH_BYTES)
        return fail(err, HEARTH_ERR_USAGE, "%.120s has a path of %zu bytes; a Unix socket's has 1 to %d", socket, n,
                    SOCKET_PATH_BYTES - 1);
    snprintf(c->socket, sizeof c->socket, "%s", socket);
    return true;
}

void http_client_destroy(struct http_client *c)
{
    if (!c)
        return;
    curl_easy_cleanup(c->easy);
    curl_global_cleanup();
    mem_free(c);
}
