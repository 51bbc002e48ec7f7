#include "server/api/json_in.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

/* What jansson takes, with all that it gives back while it grows: measured, and rounded up. A text is kept once, and
 * the
 * longest is read into a buffer that doubles. */
enum { VALUE_COST = 96, OBJECT_COST = 640, ARRAY_COST = 320, KEY_COST = 256, TEXT_COST = 160, BODY_COST = 4096 };

struct scan {
    const char *bytes;
    size_t n, at;
    size_t n_values, cost, longest;
    int depth;
    struct problem *problem;
};

static bool too_large(struct scan *s, const char *what, size_t limit)
{
    return refuse(s->problem, PROBLEM_json_too_large, NULL, "the JSON at byte %zu %s; at most %zu are taken", s->at,
                  what, limit);
}

/* At a quote: to behind the closing one, or to the end. */
static size_t text_bytes(struct scan *s)
{
    size_t start = ++s->at;
    while (s->at < s->n && s->bytes[s->at] != '"')
        s->at += s->bytes[s->at] == '\\' ? 2 : 1;
    if (s->at > s->n)
        s->at = s->n;
    size_t length = s->at - start;
    s->at += s->at < s->n;
    return length;
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static bool scan_text(struct scan *s)
{
    size_t length = text_bytes(s), next = s->at;
    while (next < s->n && is_space(s->bytes[next]))
        next++;
    bool is_key = next < s->n && s->bytes[next] == ':';
    if (is_key && length > JSON_MAX_KEY_BYTES)
        return too_large(s, "has a longer key", JSON_MAX_KEY_BYTES);
    s->longest = max_size(s->longest, length);
    s->cost += is_key ? KEY_COST + 2 * length : TEXT_COST + length;
    s->n_values += !is_key;
    return true;
}

static bool scan_open(struct scan *s, size_t cost)
{
    if (++s->depth > JSON_MAX_DEPTH)
        return refuse(s->problem, PROBLEM_json_too_deep, NULL, "the JSON is nested deeper than %d at byte %zu; at most "
                      "%d levels are taken", JSON_MAX_DEPTH, s->at, JSON_MAX_DEPTH);
    s->cost += cost;
    s->n_values++;
    s->at++;
    return true;
}

static bool scan_word(struct scan *s)
{
    size_t start = s->at;
    while (s->at < s->n && !is_space(s->bytes[s->at]) && !strchr(",:[]{}\"", s->bytes[s->at]))
        s->at++;
    if (s->at == start) /* strchr() finds NUL, too */
        s->at++;
    if (s->at - start > JSON_MAX_NUMBER_BYTES)
        return too_large(s, "has a longer number", JSON_MAX_NUMBER_BYTES);
    s->cost += VALUE_COST;
    s->n_values++;
    return true;
}

static bool scan_one(struct scan *s)
{
    char c = s->bytes[s->at];
    switch (c) {
    case '"': return scan_text(s);
    case '{': return scan_open(s, OBJECT_COST);
    case '[': return scan_open(s, ARRAY_COST);
    case '}':
    case ']':
        s->depth -= s->depth > 0;
        s->at++;
        return true;
    default: break;
    }
    if (is_space(c) || c == ',' || c == ':') {
        s->at++;
        return true;
    }
    return scan_word(s);
}

bool json_scan(const char *bytes, size_t n, size_t *cost_bytes, struct problem *p)
{
    struct scan s = { .bytes = bytes, .n = n, .problem = p };
    while (s.at < n) {
        if (!scan_one(&s))
            return false;
        if (s.n_values > JSON_MAX_VALUES)
            return too_large(&s, "has more values", JSON_MAX_VALUES);
    }
    *cost_bytes = s.cost + 4 * s.longest + BODY_COST;
    return true;
}

/* ---- memory for one text ---- */

enum { ALIGN = 16 };

/* A block that is handed out from its beginning while `open`, and given back as a whole. Of a text inside of another
 * the block lies above that one's. */
struct json_room {
    struct json_room *below;
    char *at, *end;
    bool open;
};
static _Thread_local struct json_room *top;

void *json_memory_alloc(size_t n)
{
    size_t whole = align_size(n, ALIGN);
    if (!top || !top->open || whole < n || (size_t)(top->end - top->at) < whole)
        return mem_alloc(n);
    void *p = top->at;
    top->at += whole;
    return p;
}

void json_memory_free(void *p)
{
    for (const struct json_room *r = top; r; r = r->below)
        if ((char *)p >= (const char *)r && (char *)p < r->end)
            return;
    mem_free(p);
}

static bool open_room(struct json_body *out, size_t bytes)
{
    size_t head = align_size(sizeof(struct json_room), ALIGN);
    struct json_room *r = bytes <= SIZE_MAX - head ? mem_alloc(head + bytes) : NULL;
    if (!r)
        return false;
    *r = (struct json_room){ top, (char *)r + head, (char *)r + head + bytes, true };
    out->room = top = r;
    return true;
}

void json_body_free(struct json_body *b)
{
    json_decref(b->json);
    if (b->room) {
        top = b->room->below;
        mem_free(b->room);
    }
    *b = (struct json_body){ 0 };
}

bool json_read(struct json_body *out, const char *bytes, size_t n, size_t cost_bytes, json_error_t *why)
{
    uint64_t refused = mem_n_refused();
    *out = (struct json_body){ 0 };
    *why = (json_error_t){ 0 };
    if (open_room(out, cost_bytes)) {
        out->json = json_loadb(bytes, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, why);
        out->room->open = false;
    }
    if (mem_n_refused() == refused)
        return true;
    json_body_free(out);
    return false;
}

bool json_parse(struct json_body *out, const char *bytes, size_t n, size_t cost_bytes, struct problem *p)
{
    json_error_t why;
    if (!json_read(out, bytes, n, cost_bytes, &why))
        refuse(p, PROBLEM_out_of_memory, NULL, "there is no memory for the body; try again later");
    else if (!out->json && json_error_code(&why) == json_error_duplicate_key)
        refuse(p, PROBLEM_duplicate_key, NULL, "the JSON has a key twice in one object, before byte %d: %s; give it "
               "once", why.position, why.text);
    else if (!out->json)
        refuse(p, PROBLEM_invalid_json, NULL, "the body is not JSON: byte %d: %s", why.position, why.text);
    else if (!json_is_object(out->json))
        refuse(p, PROBLEM_invalid_json, NULL, "the body is JSON, but not an object; send {\"field\": value, ...}");
    else
        return true;
    json_body_free(out);
    return false;
}
