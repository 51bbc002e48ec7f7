/* fuzz_head.c: the headers of a request, as anybody may send them: how its body is framed, by which name it comes, from
 * which page, for whom.
 *
 * The first byte of an input chooses the rules, the first line is method, path and version with a space between, each
 * line after it a header. */
#include <strings.h>

#include "fuzz.h"
#include "server/forwarded.h"
#include "server/origin.h"

static const char *const hosts[] = { "chat.example", "*.lan", "10.0.0.9", "*" };
static const char *const origins[] = { "https://chat.example", "http://lan:*", "ionic://*", "*" };
static const char *const proxies[] = { "10.0.0.0/8", "2001:db8::/32", "unix" };

static struct str line_of(struct str *text, char end)
{
    const char *at = text->len ? memchr(text->ptr, end, text->len) : NULL;
    size_t n = at ? (size_t)(at - text->ptr) : text->len;
    struct str line = { text->ptr, n };
    n += at != NULL;
    *text = (struct str){ text->ptr + n, text->len - n };
    return line;
}

/* A block of its own, NUL-terminated: what is read beyond its end is noticed. */
static char *word_of(struct str *line)
{
    struct str s = line_of(line, ' ');
    char *word = malloc(s.len + 1);
    must(word);
    if (s.len)
        memcpy(word, s.ptr, s.len);
    word[s.len] = 0;
    return word;
}

static void look(void *arg, const char *name, const char *value)
{
    const struct str *origin = arg;
    fuzz_read(name, strlen(name));
    fuzz_read(value, strlen(value));
    for (const char *at = value; *at; at++)
        must(*at != '\n' && *at != '\r');
    if (strcmp(name, "Access-Control-Allow-Origin") == 0)
        must(strcmp(value, "*") == 0 || str_eq_z(*origin, value));
    must(!strstr(name, "Credentials"));
}

static bool holds(struct str s, const char *what)
{
    size_t n = strlen(what);
    for (size_t i = 0; i + n <= s.len; i++)
        if (strncasecmp(s.ptr + i, what, n) == 0)
            return true;
    return false;
}

/* Whatever else is in it, a Host that may pass has one of these in it. */
static void check_host(const struct arrival *a, const struct head *h)
{
    static const char *const ours[] = { "localhost", "chat.example", ".lan", "10.0.0.9", "127.", "10.9.8.7", ":" };
    struct str host = head_value(h, "Host");
    bool found = a->any_host || a->rules->n_hosts == ARRAY_LEN(hosts);
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        found = found || (host.ptr && holds(host, ours[i]));
    must(found);
}

static void ask(const struct arrival *a, struct head *h)
{
    struct str authority, origin = head_value(h, "Origin");
    struct proxies t;
    struct problem p = { 0 };
    struct ip client, peers[] = { { { 10 }, IP_V4 }, { { 0x20, 1, 0x0d, 0xb8 }, IP_V6 }, { { 0 }, IP_NONE },
                                  { { 8 }, IP_V4 } };
    hearth_error err = { 0 };
    origin_target(h, &authority);
    must(h->path && h->path[0] != 0);
    bool ok = origin_guard(a, h, authority, &p);
    must(ok == (p.code == PROBLEM_none));
    if (ok)
        check_host(a, h);
    origin_headers(a, h, look, &origin);
    must(proxies_read(&t, proxies, ARRAY_LEN(proxies), &err));
    for (size_t i = 0; i < ARRAY_LEN(peers); i++) {
        p = (struct problem){ 0 };
        ok = forwarded_client(&t, h, &peers[i], &client, &p);
        must(ok == (p.code == PROBLEM_none));
        must(proxies_have(&t, &peers[i]) || memcmp(&client, &peers[i], sizeof client) == 0);
        char text[IP_TEXT_ROOM];
        ip_text(&client, text);
        must((text[0] == 0) == (client.kind == IP_NONE));
    }
    fuzz_sink ^= forwarded_says(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct ip local = { { 10, 9, 8, 7 }, IP_V4 };
    if (size == 0)
        return 0;
    struct origin_rules rules = { .bound = data[0] & 1 ? "10.9.8.7" : "unix:/run/h", .hosts = hosts, .origins = origins,
                                  .n_hosts = ARRAY_LEN(hosts) - !(data[0] & 2),
                                  .n_origins = ARRAY_LEN(origins) - !(data[0] & 4) };
    struct arrival a = { &rules, &local, data[0] & 8 };
    uint8_t *copy = fuzz_copy(data + 1, size - 1);
    struct str text = { (const char *)copy, size - 1 }, first = line_of(&text, '\n');
    char *method = word_of(&first), *path = word_of(&first), *version = word_of(&first);
    struct head h = { .method = method, .path = *path ? path : "/", .version = version };
    while (text.len > 0 && h.n_headers < GUARD_MAX_HEADERS) {
        struct str line = line_of(&text, '\n'), name = line_of(&line, ':');
        h.header[h.n_headers].name = name;
        h.header[h.n_headers++].value = line;
    }
    struct body_frame frame;
    struct problem p = { 0 };
    if (guard_framing(&h, &frame, &p)) { /* as the server does */
        fuzz_sink ^= guard_body(&h, &frame, 1000, &p);
        ask(&a, &h);
    }
    free(method);
    free(path);
    free(version);
    free(copy);
    return 0;
}
