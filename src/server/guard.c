#include "server/guard.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/sha256.h"

/* ---- the head ---- */

static bool is_name(struct str s, const char *name)
{
    return s.len == strlen(name) && strncasecmp(s.ptr, name, s.len) == 0;
}

static int count(const struct head *h, const char *name, struct str *value)
{
    int n = 0;
    for (int i = 0; i < h->n_headers; i++) {
        if (is_name(h->header[i].name, name)) {
            *value = h->header[i].value;
            n++;
        }
    }
    return n;
}

struct str head_value(const struct head *h, const char *name)
{
    struct str value = { 0 };
    return count(h, name, &value) == 1 ? value : (struct str){ NULL, 0 };
}

/* RFC 9110, 5.6.2 */
static bool is_token_char(char c)
{
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return letter || (c >= '0' && c <= '9') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool check_header(struct str name, struct str value, struct problem *p)
{
    for (size_t i = 0; i < name.len; i++)
        if (!is_token_char(name.ptr[i]))
            return refuse(p, PROBLEM_bad_framing, NULL, "the header name '%.*s' has a byte 0x%02x that names do not "
                          "have",
                          (int)min_size(name.len, 60), name.ptr, (unsigned char)name.ptr[i]);
    for (size_t i = 0; i < value.len; i++)
        if (((unsigned char)value.ptr[i] < 0x20 && value.ptr[i] != '\t') || value.ptr[i] == 0x7f)
            return refuse(p, PROBLEM_bad_framing, NULL, "the header '%.*s' has a control character 0x%02x",
                          (int)min_size(name.len, 60), name.ptr, (unsigned char)value.ptr[i]);
    return name.len > 0 || refuse(p, PROBLEM_bad_framing, NULL, "a header has no name");
}

static bool read_length(struct str text, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || !mul_ok(*out, 10, out)
            || !add_ok(*out, (uint64_t)(text.ptr[i] - '0'), out))
            return false;
    }
    return text.len > 0;
}

bool guard_framing(const struct head *h, struct body_frame *frame, struct problem *p)
{
    struct str length = { 0 }, coding = { 0 }, host = { 0 };
    *frame = (struct body_frame){ 0 };
    if (strcmp(h->version, "HTTP/1.1") != 0 && strcmp(h->version, "HTTP/1.0") != 0)
        return refuse(p, PROBLEM_http_version, NULL, "this server speaks HTTP/1.1 and HTTP/1.0, not %.20s", h->version);
    if (h->too_many)
        return refuse(p, PROBLEM_headers_too_large, NULL, "there are more than %d headers; send fewer",
                      GUARD_MAX_HEADERS);
    for (int i = 0; i < h->n_headers; i++)
        if (!check_header(h->header[i].name, h->header[i].value, p))
            return false;
    int n_lengths = count(h, "Content-Length", &length), n_codings = count(h, "Transfer-Encoding", &coding),
        n_hosts = count(h, "Host", &host);
    if (n_hosts > 1 || (n_hosts == 0 && strcmp(h->version, "HTTP/1.1") == 0))
        return refuse(p, PROBLEM_bad_framing, NULL, "there are %d Host headers; send one", n_hosts);
    if (n_lengths > 1 || n_codings > 1 || (n_lengths && n_codings))
        return refuse(p, PROBLEM_bad_framing, NULL, "the body's length is given more than once (Content-Length, "
                      "Transfer-Encoding); give it once");
    bool others = memchr(coding.ptr ? coding.ptr : "", ',', coding.len) && strncasecmp(coding.ptr, "chunked", 7) != 0;
    if (n_codings && !is_name(coding, "chunked"))
        return refuse(p, others ? PROBLEM_not_implemented : PROBLEM_bad_framing, NULL,
                      "Transfer-Encoding is '%.*s'; only chunked is read", (int)min_size(coding.len, 60), coding.ptr);
    frame->chunked = n_codings > 0;
    frame->has_length = n_lengths > 0;
    if (n_lengths && !read_length(length, &frame->length))
        return refuse(p, PROBLEM_bad_framing, NULL, "Content-Length is '%.*s'; it must be a number of bytes",
                      (int)min_size(length.len, 60), length.ptr);
    return true;
}

bool guard_body(const struct head *h, const struct body_frame *frame, size_t most_bytes, struct problem *p)
{
    struct str coding = head_value(h, "Content-Encoding");
    if (!frame->has_length && !frame->chunked)
        return refuse(p, PROBLEM_length_required, NULL, "the request has neither Content-Length nor chunks; send one "
                      "of "
                      "them");
    if (frame->length > most_bytes)
        return refuse(p, PROBLEM_body_too_large, NULL, "the body has %llu bytes; at most %zu are taken (--max-body)",
                      (unsigned long long)frame->length, most_bytes);
    if (coding.ptr && !is_name(coding, "identity"))
        return refuse(p, PROBLEM_unsupported_encoding, NULL, "the body is compressed (%.*s); send it plain",
                      (int)min_size(coding.len, 40), coding.ptr);
    return true;
}

/* ---- keys ---- */

static bool hash(const char *bytes, size_t n, char out[65])
{
    struct sha256 *s = sha256_new();
    if (!s)
        return false;
    sha256_add(s, bytes, n);
    sha256_hex(s, out);
    sha256_free(s);
    return true;
}

static bool is_hex(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strchr("0123456789abcdef", text[i]))
            return false;
    return true;
}

static bool read_key(struct key *k, struct str word, const char *name, int line, hearth_error *err)
{
    static const char prefix[] = "sha256:";
    enum { PREFIX = sizeof prefix - 1 };
    if (word.len >= PREFIX && memcmp(word.ptr, prefix, PREFIX) == 0) {
        if (word.len != PREFIX + 64 || !is_hex(word.ptr + PREFIX, 64))
            return fail(err, HEARTH_ERR_USAGE, "%s, line %d: after sha256: come 64 digits 0-9 a-f", name, line);
        memcpy(k->sha256, word.ptr + PREFIX, 64);
        k->sha256[64] = 0;
        return true;
    }
    if (word.len > GUARD_KEY_MAX_BYTES)
        return fail(err, HEARTH_ERR_USAGE, "%s, line %d: the key has %zu bytes; at most %d are taken", name, line,
                    word.len, GUARD_KEY_MAX_BYTES);
    return hash(word.ptr, word.len, k->sha256) || fail_memory(err, "the API keys");
}

static struct str next_word(const char **at, const char *end)
{
    while (*at < end && (**at == ' ' || **at == '\t' || **at == '\r'))
        ++*at;
    const char *start = *at;
    while (*at < end && **at != ' ' && **at != '\t' && **at != '\r')
        ++*at;
    return (struct str){ start, (size_t)(*at - start) };
}

enum { MOST_AT_ONCE = 100000, MOST_PER_MINUTE = 1000000000 };
static_assert(MOST_AT_ONCE == 100000 && MOST_PER_MINUTE == 1000000000, "as the help has them");
const char key_options_help[] = "name=NAME (letters, digits and -_.@), requests=N (1 to 100000 at once), tokens=N (1 "
                                "to 1000000000 a minute), observer (it may see the usage of all) and admin (that, and "
                                "end the requests of all)";

/* "requests=3": the number behind the name. */
static bool read_option(struct str word, const char *name, int64_t most, int64_t *out)
{
    size_t n = strlen(name);
    uint64_t value = 0;
    if (word.len <= n || memcmp(word.ptr, name, n) != 0 || *out != 0
        || !read_length((struct str){ word.ptr + n, word.len - n }, &value) || value < 1 || value > (uint64_t)most)
        return false;
    *out = (int64_t)value;
    return true;
}

bool key_name_valid(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && (!c || !strchr("-_.@", c)))
            return false;
    }
    return name.len >= 1 && name.len < GUARD_NAME_ROOM;
}

static bool read_name(struct key *key, struct str word)
{
    static const char name[] = "name=";
    enum { NAME = sizeof name - 1 };
    if (word.len <= NAME || memcmp(word.ptr, name, NAME) != 0 || key->name[0])
        return false;
    struct str value = { word.ptr + NAME, word.len - NAME };
    if (!key_name_valid(value))
        return false;
    memcpy(key->name, value.ptr, value.len);
    key->name[value.len] = 0;
    return true;
}

bool key_option_read(struct key *key, struct str word)
{
    int64_t n_at_once = key->n_at_once;
    if (str_eq_z(word, "observer") && !key->is_observer)
        return key->is_observer = true;
    if (str_eq_z(word, "admin") && !key->is_admin)
        return key->is_admin = true;
    bool ok = read_option(word, "requests=", MOST_AT_ONCE, &n_at_once)
              || read_option(word, "tokens=", MOST_PER_MINUTE, &key->n_per_minute) || read_name(key, word);
    key->n_at_once = (int)n_at_once;
    return ok;
}

/* From the digest, not the digest: what is kept under it on disk tells nothing of the key. */
static bool make_salt(struct key *key)
{
    char text[96], digest[65];
    int n = snprintf(text, sizeof text, "hearth salt %s", key->sha256);
    if (!hash(text, (size_t)n, digest))
        return false;
    digest[16] = 0;
    key->salt = strtoull(digest, NULL, 16) | 1;
    return true;
}

/* A name or a key that is there twice. */
static bool check_new(const struct keys *k, const struct key *key, const char *name, hearth_error *err)
{
    for (int i = 0; i < k->n; i++) {
        const struct key *other = k->key[i];
        if (strcmp(other->sha256, key->sha256) == 0)
            return fail(err, HEARTH_ERR_USAGE, "%s, line %d: the key is that of line %d; take one of them out", name,
                        key->line, other->line);
        if (strcmp(other->name, key->name) == 0)
            return fail(err, HEARTH_ERR_USAGE, "%s, line %d: the name '%s' is that of line %d; give each key its own",
                        name, key->line, key->name, other->line);
    }
    return true;
}

static bool fill_key(struct keys *k, struct key *key, struct str word, const char *at, const char *end,
                     const char *name, hearth_error *err)
{
    if (!read_key(key, word, name, key->line, err))
        return false;
    while ((word = next_word(&at, end)).len > 0 && word.ptr[0] != '#')
        if (!key_option_read(key, word))
            return fail(err, HEARTH_ERR_USAGE, "%s, line %d: after the key may stand %s, each once; take out what else "
                        "is there", name, key->line, key_options_help);
    if (!key->name[0])
        snprintf(key->name, sizeof key->name, "line-%d", key->line);
    return make_salt(key) ? check_new(k, key, name, err) : fail_memory(err, "the API keys");
}

static bool read_line(struct keys *k, const char *at, const char *end, const char *name, int line, hearth_error *err)
{
    struct str word = next_word(&at, end);
    if (word.len == 0 || word.ptr[0] == '#')
        return true;
    if (k->n == GUARD_MAX_KEYS)
        return fail(err, HEARTH_ERR_USAGE, "%s, line %d: there are more than %d keys", name, line, GUARD_MAX_KEYS);
    struct key *key = mem_alloc(sizeof *key);
    if (!key)
        return fail_memory(err, "the API keys");
    key->line = line;
    if (fill_key(k, key, word, at, end, name, err)) {
        k->key[k->n++] = key;
        return true;
    }
    mem_free(key);
    return false;
}

bool keys_read(struct keys *k, const char *text, const char *name, hearth_error *err)
{
    int line = 1;
    bool ok = true;
    k->n = 0;
    for (const char *at = text; ok && *at; line++) {
        const char *end = at + strcspn(at, "\n");
        ok = read_line(k, at, end, name, line, err);
        at = end + (*end == '\n');
    }
    if (ok && k->n == 0)
        ok = fail(err, HEARTH_ERR_USAGE, "%s has no key in it; write one a line (hearth key add)", name);
    if (!ok)
        keys_free(k);
    return ok;
}

/* ---- keys that come and go ---- */

void keys_free(struct keys *k)
{
    for (int i = 0; i < k->n; i++)
        mem_free(k->key[i]);
    k->n = 0;
}

static struct key *take_same(struct keys *k, const struct key *key)
{
    for (int i = 0; i < k->n; i++) {
        struct key *same = k->key[i];
        if (same && strcmp(same->sha256, key->sha256) == 0) {
            k->key[i] = NULL;
            return same;
        }
    }
    return NULL;
}

/* Tokens that are owed stay so: a bucket that grows or shrinks has as many taken out as before. */
static void take_terms(struct key *key, const struct key *from)
{
    memcpy(key->name, from->name, sizeof key->name);
    key->line = from->line;
    key->is_observer = from->is_observer;
    key->is_admin = from->is_admin;
    key->n_at_once = from->n_at_once;
    key->n_per_minute = from->n_per_minute;
}

void keys_adopt(struct keys *k, struct keys *fresh)
{
    for (int i = 0; i < fresh->n; i++) {
        struct key *same = take_same(k, fresh->key[i]);
        if (!same)
            continue;
        take_terms(same, fresh->key[i]);
        mem_free(fresh->key[i]);
        fresh->key[i] = same;
    }
    for (int i = 0; i < k->n; i++) {
        struct key *gone = k->key[i];
        if (gone && gone->n_now > 0)
            gone->revoked = true;
        else
            mem_free(gone);
    }
    *k = *fresh;
    fresh->n = 0;
}

void key_leave(struct key *key)
{
    key->n_now--;
    if (key->revoked && key->n_now == 0)
        mem_free(key);
}

/* 1 when all 64 digits are the same; looks at all of them always. */
static unsigned same_digest(const char a[65], const char b[65])
{
    unsigned difference = 0;
    for (int i = 0; i < 64; i++)
        difference |= (unsigned)(unsigned char)a[i] ^ (unsigned)(unsigned char)b[i];
    return (difference - 1) >> 31;
}

static struct str given_key(const struct head *h)
{
    static const char scheme[] = "Bearer ";
    enum { SCHEME = sizeof scheme - 1 };
    struct str value = head_value(h, "Authorization");
    if (value.ptr && value.len > SCHEME && strncasecmp(value.ptr, scheme, SCHEME) == 0)
        return (struct str){ value.ptr + SCHEME, value.len - SCHEME };
    return head_value(h, "X-Api-Key");
}

bool guard_key(struct keys *k, const struct head *h, struct key **key, struct problem *p)
{
    char digest[65];
    struct str given = given_key(h);
    *key = NULL;
    if (k->n == 0)
        return true;
    if (!hash(given.ptr ? given.ptr : "", given.len, digest))
        return refuse(p, PROBLEM_out_of_memory, NULL, "there is no memory for the request; try again later");
    unsigned found = 0;
    for (int i = 0; i < k->n; i++) {
        unsigned same = same_digest(digest, k->key[i]->sha256);
        found += same * (unsigned)(i + 1) * (found == 0);
    }
    if (!given.ptr || found == 0)
        return refuse(p, PROBLEM_invalid_api_key, NULL, "%s; send Authorization: Bearer KEY with a key of this server",
                      given.ptr ? "the API key is none of this server's" : "there is no API key");
    *key = k->key[found - 1];
    return true;
}

/* ---- tokens of a minute ---- */

static double per_s(const struct key *key) { return (double)key->n_per_minute / 60; }

static void refill(struct key *key, int64_t now_ns)
{
    if (now_ns > key->at_ns)
        key->used = fmax(0, key->used - (double)(now_ns - key->at_ns) / 1e9 * per_s(key));
    key->at_ns = now_ns;
}

int64_t key_tokens_left(struct key *key, int64_t now_ns, double *full_s)
{
    refill(key, now_ns);
    *full_s = key->used / per_s(key);
    return (int64_t)fmax(0, floor((double)key->n_per_minute - key->used));
}

double key_wait_s(struct key *key, int64_t now_ns)
{
    if (!key->n_per_minute)
        return 0;
    refill(key, now_ns);
    return fmax(0, (key->used + 1 - (double)key->n_per_minute) / per_s(key));
}

void key_charge(struct key *key, int64_t n_tokens, int64_t now_ns)
{
    if (!key->n_per_minute)
        return;
    refill(key, now_ns);
    key->used += (double)n_tokens;
}
