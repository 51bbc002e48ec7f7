/* ops.c: arithmetic, concatenation, repetition, slices; complaints as Python words them. */
#include <math.h>
#include <string.h>

#include "text/jinja/ast.h"

static double real(struct value v) { return v.kind == J_FLOAT ? v.f : (double)j_whole(v); }

static bool too_large(struct run *r) { return j_limit(r, "an integer leaves 64 bits, which is not supported"); }

static bool cannot(struct run *r, const char *op, struct value a, struct value b)
{
    return j_fail(r, "unsupported operand type(s) for %s: '%s' and '%s'", op, j_type_name(a), j_type_name(b));
}

static bool add_lists(struct run *r, struct value a, struct value b, struct value *out)
{
    if (!j_list(r, a.kind, a.list->n + b.list->n, out) || !j_spend(r, a.list->n + b.list->n))
        return false;
    if (a.list->n)
        memcpy(out->list->items, a.list->items, a.list->n * sizeof *a.list->items);
    if (b.list->n)
        memcpy(out->list->items + a.list->n, b.list->items, b.list->n * sizeof *b.list->items);
    out->list->n = a.list->n + b.list->n;
    return true;
}

static bool add_texts(struct run *r, struct value a, struct value b, struct value *out)
{
    bool markup = a.s->markup || b.s->markup;
    if (markup && (!j_escape(r, a, &a) || !j_escape(r, b, &b)))
        return false;
    if (!j_concat(r, a, b, out))
        return false;
    if (markup && !out->s->markup && j_sub(r, *out, 0, out->s->len, out))
        out->s->markup = true;
    return !r->failed;
}

static bool add(struct run *r, struct value a, struct value b, struct value *out)
{
    if (a.kind == J_STRING && b.kind == J_STRING)
        return add_texts(r, a, b, out);
    if ((a.kind == J_LIST || a.kind == J_TUPLE) && a.kind == b.kind)
        return add_lists(r, a, b, out);
    if (a.kind == J_STRING && b.kind != J_STRING && a.s->markup)
        return cannot(r, "+", a, b);
    if (a.kind == J_STRING || a.kind == J_LIST || a.kind == J_TUPLE)
        return j_fail(r, "can only concatenate %s (not \"%s\") to %s", j_type_name(a), j_type_name(b), j_type_name(a));
    return cannot(r, "+", a, b);
}

static bool repeat(struct run *r, struct value s, struct value times, struct value *out)
{
    int64_t n = j_whole(times) > 0 ? j_whole(times) : 0;
    if (s.kind == J_STRING) {
        struct growing g = { 0 };
        for (int64_t i = 0; s.s->len && i < n; i++)
            if (!j_spend(r, 1) || !j_put_text(r, &g, s.s))
                return false;
        if (!j_built(r, &g, out))
            return false;
        out->s->markup = s.s->markup;
        return true;
    }
    if (!j_list(r, s.kind, 0, out))
        return false;
    for (int64_t i = 0; s.list->n && i < n; i++)
        for (size_t k = 0; k < s.list->n; k++)
            if (!j_push(r, out->list, s.list->items[k]))
                return false;
    return true;
}

static bool is_sequence(struct value v) { return v.kind == J_STRING || v.kind == J_LIST || v.kind == J_TUPLE; }

static bool whole_power(struct run *r, int64_t base, int64_t exponent, struct value *out)
{
    int64_t x = 1;
    if (base == 0 || base == 1 || base == -1)
        exponent = exponent ? 2 - exponent % 2 : 0;
    for (; exponent > 0; exponent--)
        if (__builtin_mul_overflow(x, base, &x))
            return too_large(r);
    *out = j_int(x);
    return true;
}

static bool whole_op(struct run *r, int op, int64_t a, int64_t b, struct value *out)
{
    int64_t x = 0;
    bool over = false;
    switch (op) {
    case T_ADD: over = __builtin_add_overflow(a, b, &x); break;
    case T_SUB: over = __builtin_sub_overflow(a, b, &x); break;
    case T_MUL: over = __builtin_mul_overflow(a, b, &x); break;
    case T_DIV:
        if (b == 0)
            return j_fail(r, "division by zero");
        *out = j_float((double)a / (double)b);
        return true;
    case T_POW:
        if (b >= 0)
            return whole_power(r, a, b, out);
        if (a == 0)
            return j_fail(r, "0.0 cannot be raised to a negative power");
        *out = j_float(pow((double)a, (double)b));
        return true;
    default:
        if (b == 0)
            return j_fail(r, op == T_MOD ? "integer modulo by zero" : "integer division or modulo by zero");
        if (b == -1) {
            over = op == T_FLOORDIV && __builtin_sub_overflow((int64_t)0, a, &x);
            break;
        }
        x = op == T_MOD ? a % b : a / b;
        if (a % b != 0 && (a % b < 0) != (b < 0))
            x += op == T_MOD ? b : -1;
    }
    if (over)
        return too_large(r);
    *out = j_int(x);
    return true;
}

static bool real_op(struct run *r, int op, double a, double b, struct value *out)
{
    double mod, div;
    switch (op) {
    case T_ADD: *out = j_float(a + b); return true;
    case T_SUB: *out = j_float(a - b); return true;
    case T_MUL: *out = j_float(a * b); return true;
    case T_POW:
        if (a == 0.0 && b < 0.0)
            return j_fail(r, "0.0 cannot be raised to a negative power");
        if (a < 0.0 && b != floor(b) && isfinite(b))
            return j_fail(r, "complex numbers are not supported");
        *out = j_float(pow(a, b));
        return isfinite(out->f) || !isfinite(a) || !isfinite(b)
            || j_fail(r, "(34, 'Numerical result out of range')");
    default: break;
    }
    if (b == 0.0)
        return j_fail(r, op == T_DIV ? "float division by zero" : op == T_MOD ? "float modulo"
                                                                              : "float floor division by zero");
    mod = fmod(a, b);
    div = (a - mod) / b;
    if (mod != 0.0 && (b < 0.0) != (mod < 0.0)) {
        mod += b;
        div -= 1.0;
    } else if (mod == 0.0) {
        mod = copysign(0.0, b);
    }
    double low = floor(div);
    low = div != 0.0 ? (div - low > 0.5 ? low + 1.0 : low) : copysign(0.0, a / b);
    *out = j_float(op == T_DIV ? a / b : op == T_MOD ? mod : low);
    return true;
}

static bool multiply_other(struct run *r, struct value a, struct value b, struct value *out)
{
    if (is_sequence(a) && j_is_whole(b))
        return repeat(r, a, b, out);
    if (is_sequence(b) && j_is_whole(a))
        return repeat(r, b, a, out);
    if (is_sequence(a) || is_sequence(b))
        return j_fail(r, "can't multiply sequence by non-int of type '%s'", j_type_name(is_sequence(a) ? b : a));
    return cannot(r, "*", a, b);
}

bool j_binary(struct run *r, int op, struct value a, struct value b, struct value *out)
{
    static const char *const names[] = { [T_SUB] = "-", [T_DIV] = "/", [T_FLOORDIV] = "//", [T_MOD] = "%",
                                         [T_POW] = "** or pow()" };
    bool ok;
    if (j_is_number(a) && j_is_number(b)) {
        bool floats = a.kind == J_FLOAT || b.kind == J_FLOAT;
        ok = floats ? real_op(r, op, real(a), real(b), out) : whole_op(r, op, j_whole(a), j_whole(b), out);
    } else if (op == T_MOD && a.kind == J_STRING) {
        return j_percent(r, a, b, out);
    } else if (op == T_SUB && !j_is_undef(a) && j_has_difference(a, b)) {
        ok = j_difference(r, a, b, out);
    } else if (j_is_undef(a) || j_is_undef(b)) {
        return j_fail_undefined(r, j_is_undef(a) ? a : b);
    } else if (op == T_ADD) {
        ok = add(r, a, b, out);
    } else if (op == T_MUL) {
        ok = multiply_other(r, a, b, out);
    } else {
        ok = cannot(r, names[op], a, b);
    }
    if (ok)
        out->taint = a.taint || b.taint;
    return ok;
}

bool j_negate(struct run *r, bool minus, struct value a, struct value *out)
{
    if (j_is_undef(a))
        return j_fail_undefined(r, a);
    if (!j_is_number(a))
        return j_fail(r, "bad operand type for unary %s: '%s'", minus ? "-" : "+", j_type_name(a));
    if (a.kind == J_FLOAT)
        *out = j_float(minus ? -a.f : a.f);
    else if (minus && a.kind == J_INT && a.i == INT64_MIN)
        return too_large(r);
    else
        *out = j_int(minus ? -j_whole(a) : j_whole(a));
    out->taint = a.taint;
    return true;
}

/* ---------------------------------------------------------------- slices */

struct span {
    int64_t start, stop, step, n;
};

static bool bound(struct run *r, struct value v, int64_t *out)
{
    if (j_is_whole(v)) {
        *out = j_whole(v);
        return true;
    }
    return j_fail(r, "slice indices must be integers or None or have an __index__ method");
}

/* Python's slice.indices(). */
static bool indices(struct run *r, const struct value b[3], int64_t length, struct span *out)
{
    int64_t start = 0, stop = 0, step = 1;
    if (b[2].kind != J_NONE && !bound(r, b[2], &step))
        return false;
    if (step == 0)
        return j_fail(r, "slice step cannot be zero");
    if (step < -length - 1)
        step = -length - 1;
    if (step > length + 1)
        step = length + 1;
    int64_t low = step < 0 ? -1 : 0, high = step < 0 ? length - 1 : length;
    start = step < 0 ? high : low;
    stop = step < 0 ? low : high;
    for (int i = 0; i < 2; i++) {
        int64_t *to = i ? &stop : &start;
        if (b[i].kind == J_NONE)
            continue;
        if (!bound(r, b[i], to))
            return false;
        if (*to < 0)
            *to = *to < -length ? low : *to + length;
        *to = *to < low ? low : *to > high ? high : *to;
    }
    int64_t distance = step > 0 ? stop - start : start - stop, size = step > 0 ? step : -step;
    *out = (struct span){ start, stop, step, distance > 0 ? (distance + size - 1) / size : 0 };
    return true;
}

static bool slice_text(struct run *r, struct value v, struct span s, struct value *out)
{
    struct growing g = { 0 };
    bool ascii = j_chars(v.s) == (int64_t)v.s->len;
    if (s.step == 1 || s.n == 0) {
        size_t from = j_char_offset(v.s, s.start), to = j_char_offset(v.s, s.start + s.n);
        if (!j_spend(r, ascii ? 1 : v.s->len / 64))
            return false;
        return j_sub(r, v, s.n ? from : 0, s.n ? to - from : 0, out);
    }
    size_t at = j_char_offset(v.s, s.start);
    for (int64_t i = 0; i < s.n; i++) {
        int n;
        j_char_at(j_str(v), at, &n);
        if (!j_spend(r, 1) || !j_put_part(r, &g, v.s, at, (size_t)n))
            return false;
        for (int64_t k = 0; i + 1 < s.n && k < (s.step < 0 ? -s.step : s.step); k++) {
            if (s.step < 0)
                j_char_before(j_str(v), at, &n);
            else
                j_char_at(j_str(v), at, &n);
            at = s.step < 0 ? at - (size_t)n : at + (size_t)n;
        }
    }
    if (!j_built(r, &g, out))
        return false;
    out->s->markup = v.s->markup;
    return true;
}

bool j_slice(struct run *r, struct value v, const struct value b[3], struct value *out)
{
    struct span s = { 0 };
    int64_t length;
    if (!j_length(r, v, &length) || !indices(r, b, length, &s))
        return false;
    if (v.kind == J_STRING)
        return slice_text(r, v, s, out);
    if (v.kind == J_RANGE) {
        struct range *range = j_new(r, struct range);
        if (!range)
            return false;
        *range = (struct range){ v.range->start + s.start * v.range->step, v.range->start + s.stop * v.range->step,
                                   v.range->step * s.step, s.n };
        *out = (struct value){ .kind = J_RANGE, .range = range };
        return true;
    }
    if (!j_list(r, v.kind, (size_t)s.n, out))
        return false;
    out->taint = v.taint;
    for (int64_t i = 0; i < s.n; i++)
        if (!j_push(r, out->list, v.list->items[s.start + i * s.step]))
            return false;
    return true;
}
