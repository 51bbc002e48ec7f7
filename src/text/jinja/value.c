/* value.c: making values, asking about them, and the budget they are made under. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "text/jinja/ast.h"

enum {
    MOST_DEPTH = 1500,      /* of our own calls: keeps the C stack under a few hundred KB */
    STEPS_PER_LOOK = 20000, /* at the clock */
    SMALL_DICT = 8,
};

/* ---------------------------------------------------------------- failing */

static bool vfail(struct run *r, enum jinja_failure failure, const char *fmt, va_list ap)
{
    if (r->failed)
        return false;
    r->failed = true;
    r->located = false;
    r->err->failure = failure;
    r->err->line = r->err->column = 0;
    int n = vsnprintf(r->err->message, sizeof r->err->message, fmt, ap);
    if (n >= (int)sizeof r->err->message) { /* cut between characters, not within one */
        size_t end = sizeof r->err->message - 1;
        while (end > 0 && (r->err->message[end - 1] & 0xc0) == 0x80)
            end--;
        r->err->message[end - (end > 0)] = 0;
    }
    return false;
}

bool j_fail(struct run *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vfail(r, JINJA_RUNTIME, fmt, ap);
    va_end(ap);
    return false;
}

bool j_limit(struct run *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vfail(r, JINJA_LIMIT, fmt, ap);
    va_end(ap);
    return false;
}

bool j_memory(struct run *r)
{
    if (r->arena->total_bytes > r->limits.memory_bytes / 4)
        return j_limit(r, "the template needs more than the limit of %zu MiB of memory", r->limits.memory_bytes >> 20);
    if (!r->failed) {
        j_fail(r, "out of memory while rendering the template");
        r->err->failure = JINJA_MEMORY;
    }
    return false;
}

bool j_spend(struct run *r, uint64_t steps)
{
    r->steps += steps;
    if (r->failed)
        return false;
    if (r->steps > r->limits.steps)
        return j_limit(r, "the template takes more than the limit of %llu steps", (unsigned long long)r->limits.steps);
    if (r->limits.wall_ms && r->steps >= r->next_look) {
        r->next_look = r->steps + STEPS_PER_LOOK;
        if (clock_ms_since(r->start_ns) > (double)r->limits.wall_ms)
            return j_limit(r, "the template takes more than the limit of %lld ms", (long long)r->limits.wall_ms);
    }
    return true;
}

bool j_enter(struct run *r)
{
    if (++r->depth > MOST_DEPTH)
        return j_limit(r, "the template nests deeper than the limit of %d levels", MOST_DEPTH);
    return j_spend(r, 1);
}

void j_leave(struct run *r) { r->depth--; }

void *j_alloc(struct run *r, size_t n, size_t each)
{
    void *p = r->failed ? NULL : arena_alloc_n(r->arena, n, each, 8);
    if (!p)
        j_memory(r);
    return p;
}

/* ---------------------------------------------------------------- text */

int64_t j_chars(const struct text *s)
{
    if (s->n_chars >= 0)
        return s->n_chars;
    int64_t n = 0;
    for (size_t i = 0; i < s->len; i++)
        n += (s->ptr[i] & 0xc0) != 0x80;
    ((struct text *)(uintptr_t)s)->n_chars = n; /* a remembered answer, not a change */
    return n;
}

size_t j_char_offset(const struct text *s, int64_t n_chars)
{
    if (j_chars(s) == (int64_t)s->len)
        return (size_t)n_chars;
    size_t at = 0;
    for (; at < s->len; at++)
        if ((s->ptr[at] & 0xc0) != 0x80 && n_chars-- == 0)
            break;
    return at;
}

static bool new_text(struct run *r, const struct text *s, struct value *out)
{
    struct text *t = j_new(r, struct text);
    if (!t)
        return false;
    *t = *s;
    *out = (struct value){ .kind = J_STRING, .s = t };
    return true;
}

bool j_borrow(struct run *r, struct str s, bool taint, struct value *out)
{
    return new_text(r, &(struct text){ .ptr = s.len ? s.ptr : "", .len = s.len, .n_chars = -1, .taint = taint }, out);
}

bool j_literal(struct run *r, const char *z, struct value *out) { return j_borrow(r, str_z(z), false, out); }

bool j_sub(struct run *r, struct value s, size_t from, size_t len, struct value *out)
{
    const struct text *t = s.s;
    struct text part = { .ptr = t->ptr + from, .mask = t->mask ? t->mask + from : NULL, .len = len,
                         .n_chars = j_chars(t) == (int64_t)t->len ? (int64_t)len : -1, .taint = t->taint,
                         .markup = t->markup };
    return new_text(r, &part, out);
}

/* Room for n more bytes. */
static bool grow(struct run *r, struct growing *g, size_t n)
{
    if (n <= g->room - g->len)
        return true;
    size_t room = max_size(2 * g->room, max_size(g->len + n, 32));
    char *more = j_alloc(r, room, 1);
    if (!more)
        return false;
    if (g->len)
        memcpy(more, g->ptr, g->len);
    if (g->mask) {
        uint8_t *mask = j_alloc(r, room, 1);
        if (!mask)
            return false;
        memcpy(mask, g->mask, g->len);
        g->mask = mask;
    }
    g->ptr = more;
    g->room = room;
    return true;
}

static bool put_taint(struct run *r, struct growing *g, size_t n, bool taint)
{
    if (!g->any)
        g->taint = taint;
    g->any = true;
    if (!g->mask && g->taint != taint) {
        g->mask = j_alloc(r, g->room, 1);
        if (!g->mask)
            return false;
        memset(g->mask, g->taint, g->len);
    }
    if (g->mask)
        memset(g->mask + g->len, taint, n);
    return true;
}

/* 64 bytes are a step; so are four pieces, however short, as much is written character by character. */
static bool pay_for_bytes(struct run *r, size_t n)
{
    r->unpaid += n + 16;
    uint64_t steps = r->unpaid / 64;
    r->unpaid %= 64;
    return steps == 0 || j_spend(r, steps);
}

bool j_put(struct run *r, struct growing *g, const char *bytes, size_t n, bool taint)
{
    if (n == 0)
        return true;
    if (!pay_for_bytes(r, n) || !grow(r, g, n) || !put_taint(r, g, n, taint))
        return false;
    memcpy(g->ptr + g->len, bytes, n);
    g->len += n;
    return true;
}

bool j_puts(struct run *r, struct growing *g, const char *z, bool taint) { return j_put(r, g, z, strlen(z), taint); }

size_t j_run_end(const uint8_t *mask, size_t at, size_t end)
{
    const uint8_t *other = mask ? memchr(mask + at, !mask[at], end - at) : NULL;
    return other ? (size_t)(other - mask) : end;
}

bool j_put_part(struct run *r, struct growing *g, const struct text *s, size_t from, size_t len)
{
    for (size_t at = from, end; at < from + len; at = end) {
        end = j_run_end(s->mask, at, from + len);
        if (!j_put(r, g, s->ptr + at, end - at, j_taint_at(s, at)))
            return false;
    }
    return true;
}

bool j_put_text(struct run *r, struct growing *g, const struct text *s) { return j_put_part(r, g, s, 0, s->len); }

bool j_put_char(struct run *r, struct growing *g, uint32_t c, bool taint)
{
    char utf8[4];
    return j_put(r, g, utf8, (size_t)j_encode(c, utf8), taint);
}

bool j_built(struct run *r, struct growing *g, struct value *out)
{
    return new_text(r, &(struct text){ .ptr = g->len ? g->ptr : "", .mask = g->mask, .len = g->len, .n_chars = -1,
                                       .taint = g->taint }, out);
}

/* Strings that are built piece by piece in a loop must not cost their length each time: when a
 * ends where its block ends, b is put right behind it, and a stays what it was. */
bool j_concat(struct run *r, struct value a, struct value b, struct value *out)
{
    struct growing *g = a.s->in;
    if (b.s->len == 0 || a.s->len == 0) {
        *out = a.s->len ? a : b;
        return true;
    }
    if (!g || a.s->ptr + a.s->len != g->ptr + g->len || a.s->ptr != g->ptr) {
        g = j_new(r, struct growing);
        if (!g || !j_put_text(r, g, a.s))
            return false;
    }
    if (!j_put_text(r, g, b.s) || !j_built(r, g, out))
        return false;
    out->s->in = g;
    if (a.s->n_chars >= 0 && b.s->n_chars >= 0)
        out->s->n_chars = a.s->n_chars + b.s->n_chars;
    return true;
}

/* ---------------------------------------------------------------- undefined */

bool j_undefined(struct run *r, const char *owner, struct value name, struct value *out)
{
    struct undefined *u = j_new(r, struct undefined);
    if (!u)
        return false;
    u->owner = owner;
    u->name = name;
    *out = (struct value){ .kind = J_UNDEFINED, .undefined = u };
    return true;
}

bool j_undefined_hint(struct run *r, const char *hint, struct value *out)
{
    if (!j_undefined(r, NULL, j_none(), out))
        return false;
    out->undefined->hint = hint;
    return true;
}

bool j_undefined_message(struct run *r, struct value v, struct growing *g)
{
    const struct undefined *u = v.undefined;
    if (u->hint)
        return j_puts(r, g, u->hint, false);
    if (u->unsafe)
        return j_puts(r, g, "access to attribute ", false) && j_put_repr(r, g, u->name)
            && j_puts(r, g, " of '", false) && j_puts(r, g, u->owner, false)
            && j_puts(r, g, "' object is unsafe.", false);
    if (!u->owner)
        return j_put_repr(r, g, u->name) && j_puts(r, g, " is undefined", false);
    if (u->name.kind != J_STRING)
        return j_puts(r, g, u->owner, false) && j_puts(r, g, " has no element ", false) && j_put_repr(r, g, u->name);
    return j_puts(r, g, "'", false) && j_puts(r, g, u->owner, false) && j_puts(r, g, "' has no attribute ", false)
        && j_put_repr(r, g, u->name);
}

bool j_fail_undefined(struct run *r, struct value v)
{
    struct growing g = { 0 };
    if (!j_undefined_message(r, v, &g))
        return false;
    return j_fail(r, "%.*s", (int)min_size(g.len, sizeof r->err->message), g.ptr);
}

/* ---------------------------------------------------------------- lists and dicts */

bool j_list(struct run *r, uint8_t kind, size_t room, struct value *out)
{
    struct list *l = j_new(r, struct list);
    if (!l || (room && !(l->items = j_array(r, struct value, room))))
        return false;
    l->room = room;
    l->type = "generator";
    *out = (struct value){ .kind = kind, .list = l };
    return true;
}

bool j_push(struct run *r, struct list *l, struct value v)
{
    if (l->n == l->room) {
        size_t room = l->room ? 2 * l->room : 4;
        struct value *more = j_array(r, struct value, room);
        if (!more)
            return false;
        if (l->n)
            memcpy(more, l->items, l->n * sizeof *more);
        l->items = more;
        l->room = room;
    }
    l->items[l->n++] = v;
    return j_spend(r, 1);
}

bool j_dict(struct run *r, size_t room, struct value *out)
{
    struct dict *d = j_new(r, struct dict);
    if (!d || (room && !(d->entries = j_array(r, struct entry, room))))
        return false;
    d->room = room;
    *out = (struct value){ .kind = J_DICT, .dict = d };
    return true;
}

static uint64_t hash_number(double f) { return str_hash((struct str){ (const char *)&f, sizeof f }); }

/* Of a sequence, with one more item. Wraps: a multiplication modulo 2^64 is the mixing. */
static WRAPS uint64_t hash_on(uint64_t hash, uint64_t item) { return (hash ^ item) * 0x9e3779b97f4a7c15u; }

bool j_hash(struct run *r, struct value v, uint64_t *out)
{
    uint64_t part;
    switch (v.kind) {
    case J_BOOL: case J_INT: *out = hash_number((double)j_whole(v)); return true;
    case J_FLOAT: *out = hash_number(v.f == 0.0 ? 0.0 : v.f); return true;
    case J_STRING: *out = str_hash(j_str(v)); return j_spend(r, v.s->len / 64);
    case J_LIST: case J_DICT: return j_fail(r, "unhashable type: '%s'", j_type_name(v));
    case J_VIEW: *out = v.kind; return !j_is_set_like(v) || j_fail(r, "unhashable type: '%s'", j_type_name(v));
    case J_TUPLE:
        *out = 7;
        if (!j_enter(r))
            return false;
        for (size_t i = 0; i < v.list->n; i++) {
            if (!j_hash(r, v.list->items[i], &part))
                return false;
            *out = hash_on(*out, part);
        }
        j_leave(r);
        return true;
    default: *out = v.kind; return true;
    }
}

/* First entry that may be the key, from *at on: its number, or -1. */
static int64_t candidate(const struct dict *d, uint64_t hash, size_t *at)
{
    if (!d->index) {
        for (; *at < d->n; ++*at)
            if (d->entries[*at].hash == hash)
                return (int64_t)(*at)++;
        return -1;
    }
    for (;; ++*at) {
        uint32_t e = d->index[(hash + *at) & (d->n_index - 1)];
        if (e == 0)
            return -1;
        if (d->entries[e - 1].hash == hash) {
            ++*at;
            return e - 1;
        }
    }
}

static bool find_entry(struct run *r, const struct dict *d, struct value key, uint64_t hash, struct value **out)
{
    size_t at = 0;
    bool same;
    *out = NULL;
    for (int64_t e = candidate(d, hash, &at); e >= 0 && !*out; e = candidate(d, hash, &at)) {
        struct value other = d->entries[e].key;
        if (key.kind == J_STRING && other.kind == J_STRING)
            same = str_eq(j_str(key), j_str(other));
        else if (!j_equal(r, other, key, &same))
            return false;
        if (same)
            *out = &d->entries[e].value;
    }
    return at < 16 || j_spend(r, at / 16); /* who chooses the keys can make them collide */
}

bool j_dict_find(struct run *r, const struct dict *d, struct value key, struct value **out)
{
    uint64_t hash = 0;
    return j_hash(r, key, &hash) && find_entry(r, d, key, hash, out);
}

struct value *j_dict_find_str(const struct dict *d, struct str key)
{
    size_t at = 0;
    uint64_t hash = str_hash(key);
    for (int64_t e = candidate(d, hash, &at); e >= 0; e = candidate(d, hash, &at))
        if (d->entries[e].key.kind == J_STRING && str_eq(j_str(d->entries[e].key), key))
            return &d->entries[e].value;
    return NULL;
}

static void index_entry(struct dict *d, size_t e)
{
    for (size_t at = 0;; at++) {
        uint32_t *slot = &d->index[(d->entries[e].hash + at) & (d->n_index - 1)];
        if (*slot == 0) {
            *slot = (uint32_t)e + 1;
            return;
        }
    }
}

static bool more_entries(struct run *r, struct dict *d)
{
    if (d->n == d->room) {
        size_t room = d->room ? 2 * d->room : 4;
        struct entry *more = j_array(r, struct entry, room);
        if (!more)
            return false;
        if (d->n)
            memcpy(more, d->entries, d->n * sizeof *more);
        d->entries = more;
        d->room = room;
    }
    if (d->n < SMALL_DICT || 2 * (d->n + 1) <= d->n_index)
        return true;
    size_t n_index = d->n_index ? 2 * d->n_index : 4 * SMALL_DICT;
    while (n_index < 2 * (d->n + 1))
        n_index *= 2;
    d->index = j_array(r, uint32_t, n_index);
    if (!d->index)
        return false;
    d->n_index = n_index;
    for (size_t i = 0; i < d->n; i++)
        index_entry(d, i);
    return true;
}

bool j_dict_set(struct run *r, struct dict *d, struct value key, struct value v)
{
    uint64_t hash;
    struct value *old;
    if (!j_spend(r, 1) || !j_hash(r, key, &hash) || !find_entry(r, d, key, hash, &old))
        return false;
    if (old) {
        *old = v;
        return true;
    }
    if (!more_entries(r, d))
        return false;
    d->entries[d->n] = (struct entry){ key, v, hash };
    if (d->index)
        index_entry(d, d->n);
    d->n++;
    return true;
}

static bool dict_from_json(struct run *r, const json_t *j, bool taint, struct value *out)
{
    const char *name;
    json_t *item, *object = (json_t *)(uintptr_t)j; /* iterating takes a pointer to non-const */
    struct value key, v;
    if (!j_dict(r, json_object_size(j), out))
        return false;
    json_object_foreach(object, name, item) {
        r->input_bytes += strlen(name) + 1;
        if (!j_borrow(r, str_z(name), taint, &key) || !j_from_json(r, item, taint, &v)
            || !j_dict_set(r, out->dict, key, v))
            return false;
    }
    return true;
}

bool j_from_json(struct run *r, const json_t *j, bool taint, struct value *out)
{
    bool ok = j_enter(r);
    r->input_bytes++;
    switch (json_typeof(j)) {
    case JSON_OBJECT: ok = ok && dict_from_json(r, j, taint, out); break;
    case JSON_ARRAY:
        ok = ok && j_list(r, J_LIST, json_array_size(j), out);
        for (size_t i = 0; ok && i < json_array_size(j); i++) {
            struct value item;
            ok = j_from_json(r, json_array_get(j, i), taint, &item) && j_push(r, out->list, item);
        }
        break;
    case JSON_STRING:
        r->input_bytes += json_string_length(j);
        ok = ok && j_borrow(r, (struct str){ json_string_value(j), json_string_length(j) }, taint, out);
        break;
    case JSON_INTEGER: *out = j_int(json_integer_value(j)); break;
    case JSON_REAL: *out = j_float(json_real_value(j)); break;
    case JSON_TRUE: *out = j_bool(true); break;
    case JSON_FALSE: *out = j_bool(false); break;
    default: *out = j_none(); break;
    }
    out->taint = taint;
    j_leave(r);
    return ok;
}

/* ---------------------------------------------------------------- iterating */

bool j_iter(struct run *r, struct value v, struct iter *out)
{
    *out = (struct iter){ .over = v };
    switch (v.kind) {
    case J_UNDEFINED: case J_STRING: case J_LIST: case J_TUPLE: case J_DICT: case J_RANGE: case J_VIEW:
    case J_GENERATOR: case J_LOOP: return true;
    default: return j_fail(r, "'%s' object is not iterable", j_type_name(v));
    }
}

static bool next_generated(struct run *r, struct list *l, struct value *out, bool *got)
{
    *got = l->next < l->n;
    if (*got) {
        *out = l->items[l->next++];
        return true;
    }
    if (!l->err || r->failed)
        return !r->failed;
    j_fail(r, "%s", l->err->message);
    r->err->failure = l->err->failure;
    return false;
}

bool j_next(struct run *r, struct iter *it, struct value *out, bool *got)
{
    struct value v = it->over;
    int length;
    *got = false;
    if (!j_spend(r, 1))
        return false;
    switch (v.kind) {
    case J_STRING:
        *got = it->at < v.s->len;
        if (!*got)
            return true;
        j_char_at(j_str(v), it->at, &length);
        it->at += (size_t)length;
        return j_sub(r, v, it->at - (size_t)length, (size_t)length, out);
    case J_LIST: case J_TUPLE: case J_VIEW:
        *got = it->at < v.list->n;
        if (*got)
            *out = v.list->items[it->at++];
        return true;
    case J_DICT:
        *got = it->at < v.dict->n;
        if (*got)
            *out = v.dict->entries[it->at++].key;
        return true;
    case J_RANGE:
        *got = (int64_t)it->at < v.range->n;
        if (*got)
            *out = j_int(v.range->start + (int64_t)it->at++ * v.range->step);
        return true;
    case J_GENERATOR: return next_generated(r, v.list, out, got);
    default: return true;
    }
}

bool j_to_list(struct run *r, struct value v, uint8_t kind, struct value *out)
{
    struct iter it;
    struct value item;
    bool got = true;
    if (!j_iter(r, v, &it) || !j_list(r, kind, 0, out))
        return false;
    out->taint = v.taint;
    while (got) {
        if (!j_next(r, &it, &item, &got) || (got && !j_push(r, out->list, item)))
            return false;
    }
    return true;
}
