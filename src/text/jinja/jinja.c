/* jinja.c: compile and render, from the outside. */
#include "text/jinja/jinja.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "text/jinja/ast.h"

enum { DEEPEST_PARSE = 128 };

struct jinja_limits jinja_limits_default(void)
{
    return (struct jinja_limits){
        .source_bytes = 1 << 20,
        .nodes = 100000,
        .parse_depth = DEEPEST_PARSE,
        .call_depth = 64,
        .steps = 16000000, /* about 10 ns each; looking back from each of 2,000 messages takes 10 million */
        .output_bytes = 16 << 20,
        .memory_bytes = 256 << 20,
        .range_items = 100000,
        .wall_ms = 250,
    };
}

bool jinja_fail(hearth_error *err, const struct jinja_error *e)
{
    hearth_status status = e->failure == JINJA_MEMORY ? HEARTH_ERR_MEMORY
                         : e->failure == JINJA_RAISED ? HEARTH_ERR_USAGE : HEARTH_ERR_FORMAT;
    if (e->line)
        return fail(err, status, "the chat template, line %d column %d: %s", e->line, e->column, e->message);
    return fail(err, status, "the chat template: %s", e->message);
}

/* One newline for every kind; the last one, a file's, goes. */
static bool normalize(struct jinja_template *t, struct str source)
{
    char *to = arena_alloc(&t->arena, source.len + 1, 1);
    size_t n = 0;
    if (!to)
        return false;
    for (size_t i = 0; i < source.len; i++) {
        char c = source.ptr[i];
        if (c == '\r' && i + 1 < source.len && source.ptr[i + 1] == '\n')
            continue;
        to[n++] = c == '\r' ? '\n' : c;
    }
    n -= n > 0 && to[n - 1] == '\n';
    t->source = (struct str){ to, n };
    return true;
}

static bool has_slice(const struct node *n);

static bool any_has_slice(const struct nodes *list)
{
    for (size_t i = 0; i < list->n; i++)
        if (has_slice(list->at[i]))
            return true;
    return false;
}

static bool has_slice(const struct node *n)
{
    return n && (n->kind == N_SLICE || has_slice(n->a) || has_slice(n->b) || has_slice(n->c)
                 || any_has_slice(&n->list) || any_has_slice(&n->positional) || any_has_slice(&n->keyword_values));
}

/* The texts between tags, as values. */
static bool settle_data(struct parser *p, const struct nodes *body)
{
    for (size_t i = 0; i < body->n; i++) {
        struct node *n = body->at[i];
        if (n->kind == N_DATA) {
            struct text *t = arena_new(&p->t->arena, struct text);
            if (!t)
                return p_memory(p);
            *t = (struct text){ .ptr = n->name.ptr, .len = n->name.len, .n_chars = -1 };
            n->value = (struct value){ .kind = J_STRING, .s = t };
        }
        n->soft = n->kind == N_PRINT && has_slice(n->a);
        for (size_t k = 0; n->kind == N_IF && k < n->list.n; k++)
            if (!settle_data(p, &n->list.at[k]->body))
                return false;
        if (!settle_data(p, &n->body) || !settle_data(p, &n->other))
            return false;
    }
    return true;
}

static bool check_source(struct str source, const struct jinja_limits *limits, struct jinja_error *err)
{
    bool valid = true;
    if (source.len > limits->source_bytes) {
        err->failure = JINJA_LIMIT;
        snprintf(err->message, sizeof err->message, "the template has %zu bytes, more than the limit of %zu",
                 source.len, limits->source_bytes);
        return false;
    }
    if (source.len && (utf8_run(source, 0, &valid) != source.len || !valid)) {
        err->failure = JINJA_SYNTAX;
        snprintf(err->message, sizeof err->message, "the template is not UTF-8");
        return false;
    }
    return true;
}

struct jinja_template *jinja_compile(struct str source, const struct jinja_limits *limits, struct jinja_error *err)
{
    struct jinja_error ignored;
    err = err ? err : &ignored;
    *err = (struct jinja_error){ 0 };
    if (!check_source(source, limits, err))
        return NULL;
    struct jinja_template *t = mem_alloc(sizeof *t);
    if (!t) {
        err->failure = JINJA_MEMORY;
        snprintf(err->message, sizeof err->message, "out of memory while reading the template");
        return NULL;
    }
    arena_init(&t->arena, limits->memory_bytes);
    struct parser p = { .t = t, .limits = *limits, .err = err };
    p.limits.parse_depth = min_int(p.limits.parse_depth, DEEPEST_PARSE);
    if (!normalize(t, source))
        p_memory(&p);
    else if (lex(&p) && parse_template(&p) && settle_data(&p, &t->body) && resolve_names(&p) && !p.failed)
        return t;
    jinja_template_free(t);
    return NULL;
}

void jinja_template_free(struct jinja_template *t)
{
    if (!t)
        return;
    arena_free(&t->arena);
    mem_free(t);
}

/* ---------------------------------------------------------------- rendering */

/* What a free name means: trusted values, then the request's, then our functions. Python's globals
 * come last there, too. */
static bool find_globals(struct run *r)
{
    const struct jinja_template *t = r->t;
    r->globals = j_array(r, struct value, t->n_globals);
    if (!r->globals)
        return false;
    for (size_t i = 0; i < t->n_globals; i++) {
        struct str name = t->globals[i];
        const struct function *f = j_find_function(name);
        json_t *own = r->in->trusted ? json_object_getn(r->in->trusted, name.ptr, name.len) : NULL;
        json_t *given = r->in->values ? json_object_getn(r->in->values, name.ptr, name.len) : NULL;
        if (own || given) {
            if (!j_from_json(r, own ? own : given, !own, &r->globals[i]))
                return false;
        } else if (f) {
            r->globals[i] = (struct value){ .kind = J_FUNCTION, .function = f };
        }
    }
    return true;
}

static bool make_spans(struct run *r, struct jinja_output *out, const struct growing *g)
{
    size_t n = 0;
    char *text = arena_alloc(&out->arena, g->len + 1, 1);
    for (size_t at = 0; at < g->len; at = j_run_end(g->mask, at, g->len))
        n++;
    out->spans = arena_array(&out->arena, struct jinja_span, n);
    if (!text || !out->spans)
        return j_memory(r);
    if (g->len)
        memcpy(text, g->ptr, g->len);
    for (size_t at = 0, end; at < g->len; at = end) {
        end = j_run_end(g->mask, at, g->len);
        out->spans[out->n_spans++] = (struct jinja_span){ at, end, !(g->mask ? g->mask[at] : g->taint) };
    }
    out->text = (struct str){ text, g->len };
    return true;
}

bool jinja_render(const struct jinja_template *t, const struct jinja_input *in, const struct jinja_limits *limits,
                  struct jinja_output *out, struct jinja_error *err)
{
    struct arena arena;
    struct growing g = { 0 };
    struct jinja_error ignored;
    struct run r = { .t = t, .in = in, .limits = *limits, .arena = &arena, .out = &g, .err = err ? err : &ignored,
                     .start_ns = limits->wall_ms ? clock_ns() : 0 };
    *r.err = (struct jinja_error){ 0 };
    memset(out, 0, sizeof *out);
    arena_init(&arena, limits->memory_bytes);
    arena_init(&out->arena, SIZE_MAX);
    struct env *env = NULL;
    bool ok = find_globals(&r) && (env = env_enter(&r, t->scope, NULL)) != NULL;
    r.limits.output_bytes = min_size(r.limits.output_bytes, 8 * (r.input_bytes + t->source.len) + (1 << 20));
    ok = ok && exec(&r, &t->body, env) && make_spans(&r, out, &g);
    out->steps = r.steps;
    out->memory_bytes = arena.total_bytes;
    arena_free(&arena);
    return ok;
}

void jinja_output_free(struct jinja_output *out)
{
    arena_free(&out->arena);
    memset(out, 0, sizeof *out);
}
