/* gguf_get.c: the one way to a value: key, expected type, range. */
#include "format/gguf.h"

#include <float.h>
#include <math.h>
#include <string.h>

typedef unsigned long long ull;

static const char *const type_names[GGUF_N_TYPES] = {
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "text", "array", "u64", "i64", "f64",
};

static bool wrong_type(const struct gguf_value *v, const char *wanted, hearth_error *err)
{
    return fail(err, HEARTH_ERR_FORMAT, STR_FMT " is of type %s where %s is needed; the file is damaged",
                STR_ARG(v->key), type_names[v->type], wanted);
}

static bool missing(const char *key, hearth_error *err)
{
    return fail(err, HEARTH_ERR_FORMAT, "the file lacks %s; it is incomplete or of another kind", key);
}

/* Any integer type to 64 bits with its sign. */
static bool integer_of(const struct gguf_value *v, bool *negative, uint64_t *out)
{
    int64_t s = 0;
    uint64_t u = 0;
    bool is_signed = false;
    switch (v->type) {
    case GGUF_U8: u = v->data[0]; break;
    case GGUF_U16: { uint16_t x; memcpy(&x, v->data, 2); u = x; break; }
    case GGUF_U32: { uint32_t x; memcpy(&x, v->data, 4); u = x; break; }
    case GGUF_U64: memcpy(&u, v->data, 8); break;
    case GGUF_I8: { int8_t x; memcpy(&x, v->data, 1); s = x; is_signed = true; break; }
    case GGUF_I16: { int16_t x; memcpy(&x, v->data, 2); s = x; is_signed = true; break; }
    case GGUF_I32: { int32_t x; memcpy(&x, v->data, 4); s = x; is_signed = true; break; }
    case GGUF_I64: memcpy(&s, v->data, 8); is_signed = true; break;
    default: return false;
    }
    *negative = is_signed && s < 0;
    *out = is_signed ? (uint64_t)s : u;
    return true;
}

static bool get_uint(const struct gguf_value *v, uint64_t least, uint64_t most, uint64_t *out, hearth_error *err)
{
    bool negative;
    uint64_t x;
    if (!integer_of(v, &negative, &x))
        return wrong_type(v, "a whole number", err);
    if (negative)
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " is %lld; it must lie between %llu and %llu; the file is damaged",
                    STR_ARG(v->key), (long long)x, (ull)least, (ull)most);
    if (x < least || x > most)
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " is %llu; it must lie between %llu and %llu; the file is damaged",
                    STR_ARG(v->key), (ull)x, (ull)least, (ull)most);
    *out = x;
    return true;
}

bool gguf_uint_or(const struct gguf *g, const char *key, uint64_t least, uint64_t most, uint64_t dflt, uint64_t *out,
                  hearth_error *err)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (v)
        return get_uint(v, least, most, out, err);
    *out = dflt;
    return true;
}

bool gguf_need_uint(const struct gguf *g, const char *key, uint64_t least, uint64_t most, uint64_t *out,
                    hearth_error *err)
{
    const struct gguf_value *v = gguf_find(g, key);
    return v ? get_uint(v, least, most, out, err) : missing(key, err);
}

static bool get_float(const struct gguf_value *v, double least, double most, double *out, hearth_error *err)
{
    double x;
    if (v->type == GGUF_F32) {
        float f;
        memcpy(&f, v->data, sizeof f);
        x = (double)f;
    } else if (v->type == GGUF_F64) {
        memcpy(&x, v->data, sizeof x);
    } else {
        return wrong_type(v, "a decimal number", err);
    }
    if (!isfinite(x) || x < least || x > most)
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " is %g; it must lie between %g and %g; the file is damaged",
                    STR_ARG(v->key), x, least, most);
    *out = x;
    return true;
}

bool gguf_float_or(const struct gguf *g, const char *key, double least, double most, double dflt, double *out,
                   hearth_error *err)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (v)
        return get_float(v, least, most, out, err);
    *out = dflt;
    return true;
}

bool gguf_need_float(const struct gguf *g, const char *key, double least, double most, double *out, hearth_error *err)
{
    const struct gguf_value *v = gguf_find(g, key);
    return v ? get_float(v, least, most, out, err) : missing(key, err);
}

bool gguf_bool_or(const struct gguf *g, const char *key, bool dflt, bool *out, hearth_error *err)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (v && v->type != GGUF_BOOL)
        return wrong_type(v, "yes or no (bool)", err);
    *out = v ? v->data[0] != 0 : dflt;
    return true;
}

static struct str str_at(const uint8_t *p)
{
    uint64_t n;
    memcpy(&n, p, sizeof n);
    return (struct str){ (const char *)p + sizeof n, (size_t)n };
}

bool gguf_str_or(const struct gguf *g, const char *key, struct str dflt, struct str *out, hearth_error *err)
{
    const struct gguf_value *v = gguf_find(g, key);
    if (v && v->type != GGUF_STRING)
        return wrong_type(v, "text", err);
    *out = v ? str_at(v->data) : dflt;
    return true;
}

bool gguf_need_str(const struct gguf *g, const char *key, struct str *out, hearth_error *err)
{
    return gguf_find(g, key) ? gguf_str_or(g, key, STR(""), out, err) : missing(key, err);
}

bool gguf_array_or_none(const struct gguf *g, const char *key, enum gguf_type elem, uint64_t most,
                        struct gguf_array *out, hearth_error *err)
{
    const struct gguf_value *v = gguf_find(g, key);
    *out = (struct gguf_array){ .elem = elem };
    if (!v)
        return true;
    if (v->type != GGUF_ARRAY)
        return wrong_type(v, "an array", err);
    bool same = v->elem == elem || (elem == GGUF_I32 && v->elem == GGUF_U32);
    if (!same)
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " is an array of %s where %s is needed; the file is damaged",
                    STR_ARG(v->key), type_names[v->elem], type_names[elem]);
    if (v->n > most)
        return fail(err, HEARTH_ERR_FORMAT, STR_FMT " has %llu items, at most %llu are allowed; the file is damaged",
                    STR_ARG(v->key), (ull)v->n, (ull)most);
    *out = (struct gguf_array){ .elem = v->elem, .n = v->n, .data = v->data, .bytes = v->bytes };
    return true;
}

float gguf_array_f32(const struct gguf_array *a, uint64_t i)
{
    float x;
    memcpy(&x, a->data + i * sizeof x, sizeof x);
    return x;
}

int32_t gguf_array_i32(const struct gguf_array *a, uint64_t i)
{
    int32_t x;
    memcpy(&x, a->data + i * sizeof x, sizeof x);
    return x;
}

struct str gguf_array_next_str(const struct gguf_array *a, uint64_t *cursor)
{
    struct str s = str_at(a->data + *cursor);
    *cursor += sizeof(uint64_t) + s.len;
    return s;
}
