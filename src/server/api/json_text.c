#include "server/api/json_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEPTH_MAX = 2048, /* what jansson reads */
    REAL_MAX_BYTES = 26,
};

const char *json_kind(const json_t *j)
{
    switch (json_typeof(j)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "a list";
    case JSON_STRING: return "a text";
    case JSON_INTEGER:
    case JSON_REAL: return "a number";
    case JSON_TRUE: return "true";
    case JSON_FALSE: return "false";
    case JSON_NULL: break;
    }
    return "null";
}

json_t *json_same(const json_t *j)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)j);
    if (json_object_size(copy) == json_object_size(j) && json_array_size(copy) == json_array_size(j))
        return copy;
    json_decref(copy);
    return NULL;
}

/* Written twice: to nothing, for the size, and then into that much. */
struct writer {
    char *out; /* NULL: count only */
    size_t room, n;
    int depth;
    bool failed;
};

static void put(struct writer *w, const char *bytes, size_t n)
{
    if (w->out)
        memcpy(w->out + w->n, bytes, n);
    w->n += n;
}

static void put_string(struct writer *w, const char *text, size_t n)
{
    size_t plain = 0;
    while (plain < n && (unsigned char)text[plain] >= 0x20 && text[plain] != '"' && text[plain] != '\\')
        plain++;
    if (plain == n) {
        put(w, "\"", 1);
        put(w, text, n);
        put(w, "\"", 1);
        return;
    }
    json_t *j = json_stringn_nocheck(text, n); /* jansson knows the escapes */
    size_t room = w->out ? w->room - w->n : 0;
    size_t need = json_dumpb(j, room ? w->out + w->n : NULL, room, JSON_ENCODE_ANY);
    json_decref(j);
    w->failed |= need == 0 || (w->out && need > room); /* memory is out */
    w->n += w->failed ? 0 : need;
}

static void put_integer(struct writer *w, json_int_t n)
{
    char text[32];
    put(w, text, (size_t)snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, n));
}

/* The fewest digits that are this number again, and always a real number: 1.0, 1e+22. */
static void put_real(struct writer *w, double v)
{
    char text[REAL_MAX_BYTES + 1];
    if (!w->out) { /* the slow part once is enough */
        w->n += REAL_MAX_BYTES;
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text - 2, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    if (!strpbrk(text, ".e"))
        strcat(text, ".0");
    put(w, text, strlen(text));
}

static void put_value(struct writer *w, json_t *j);

static void put_object(struct writer *w, json_t *j)
{
    const char *key, *between = "";
    json_t *value;
    put(w, "{", 1);
    json_object_foreach(j, key, value) {
        put(w, between, strlen(between));
        put_string(w, key, strlen(key)); /* jansson's keys hold no NUL */
        put(w, ":", 1);
        put_value(w, value);
        between = ",";
    }
    put(w, "}", 1);
}

static void put_array(struct writer *w, json_t *j)
{
    put(w, "[", 1);
    for (size_t i = 0; i < json_array_size(j); i++) {
        if (i > 0)
            put(w, ",", 1);
        put_value(w, json_array_get(j, i));
    }
    put(w, "]", 1);
}

static void put_value(struct writer *w, json_t *j)
{
    if (w->failed || ++w->depth > DEPTH_MAX) {
        w->failed = true;
        return;
    }
    switch (json_typeof(j)) {
    case JSON_OBJECT: put_object(w, j); break;
    case JSON_ARRAY: put_array(w, j); break;
    case JSON_STRING: put_string(w, json_string_value(j), json_string_length(j)); break;
    case JSON_REAL: put_real(w, json_real_value(j)); break;
    case JSON_INTEGER: put_integer(w, json_integer_value(j)); break;
    case JSON_TRUE: put(w, "true", 4); break;
    case JSON_FALSE: put(w, "false", 5); break;
    case JSON_NULL: put(w, "null", 4); break;
    }
    w->depth--;
}

struct str json_text(struct arena *a, const json_t *j)
{
    json_t *value = (json_t *)(uintptr_t)j; /* jansson's iterators are not const; nothing is changed */
    struct writer size = { 0 };
    put_value(&size, value);
    struct writer w = { .out = size.failed ? NULL : arena_alloc(a, size.n + 1, 1), .room = size.n };
    if (!w.out)
        return (struct str){ NULL, 0 };
    put_value(&w, value);
    w.out[w.n] = 0;
    return w.failed ? (struct str){ NULL, 0 } : (struct str){ w.out, w.n };
}
