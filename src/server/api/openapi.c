/* openapi.c: GET /openapi.json: the description of this API that tools read, out of the tables that the server runs
 * on. */
#include <stdio.h>
#include <string.h>

#include "record/receipt_json.h"
#include "server/api/endpoints.h"
#include "server/route.h"

/* ---- fields ---- */

static json_t *of_type(const struct field_info *info)
{
    switch (info->type) {
    case FIELD_FLAG: return json_pack("{s:s}", "type", "boolean");
    case FIELD_WHOLE:
        return json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)info->least, "maximum",
                         info->most > 9e18 ? (json_int_t)INT64_MAX : (json_int_t)info->most);
    case FIELD_REAL:
        return json_pack("{s:s, s:f, s:f}", "type", "number", "minimum", info->least, "maximum", info->most);
    case FIELD_TEXT: return json_pack("{s:s}", "type", "string");
    case FIELD_LIST: return json_pack("{s:s, s:{}}", "type", "array", "items");
    case FIELD_OBJECT: return json_pack("{s:s}", "type", "object");
    case FIELD_ANY: break;
    }
    return json_object();
}

static json_t *of_fields(unsigned on)
{
    struct json_out o = json_begin();
    for (int i = 0; i < N_FIELDS; i++) {
        const struct field_info *info = &field_table[i];
        json_t *one = info->on & on ? of_type(info) : NULL;
        if (!(info->on & on))
            continue;
        if (info->help[0] && json_object_set_new(one, "description", json_string(info->help)) != 0)
            o.failed = true;
        json_key(&o, info->name, one);
    }
    return json_end(&o);
}

/* What cannot be left out. */
static json_t *of_required(unsigned on)
{
    if (on & (ON_CHAT | ON_TEMPLATE))
        return json_pack("[s]", "messages");
    if (on & ON_INFILL)
        return json_pack("[s, s]", "input_prefix", "input_suffix");
    if (on & (ON_TEXT | ON_NATIVE))
        return json_pack("[s]", "prompt");
    if (on & (ON_EMBED | ON_RERANK))
        return json_pack("[s]", on & ON_EMBED ? "input" : "query");
    return on ? json_pack("[s]", on & ON_TOKENIZE ? "content" : "tokens") : json_array();
}

static json_t *of_body(unsigned on)
{
    json_t *schema = json_pack("{s:s, s:o, s:o}", "type", "object", "required", of_required(on), "properties",
                               of_fields(on));
    return json_pack("{s:b, s:{s:{s:o}}}", "required", 1, "content", "application/json", "schema", schema);
}

/* ---- routes ---- */

static json_t *of_refusal(const char *what)
{
    return json_pack("{s:s, s:{s:{s:{s:s}}}}", "description", what, "content", "application/json", "schema", "$ref",
                     "#/components/schemas/Error");
}

static json_t *of_answer(const struct endpoint *e)
{
    struct json_out content = json_begin();
    json_key(&content, e->content_type ? e->content_type : "application/json", json_object());
    if ((e->dialect && e->read && !e->dialect->vector) || e->tells == TELLS_WAKE)
        json_key(&content, "text/event-stream", json_object());
    return json_pack("{s:s, s:o}", "description", "the answer", "content", json_end(&content));
}

static json_t *of_responses(const struct endpoint *e, enum access access)
{
    static const int of_posts[] = { 400, 403, 404, 408, 409, 411, 413, 415, 421, 429, 500, 501, 503, 504 },
                     of_gets[] = { 400, 403, 404, 421, 503 };
    struct json_out o = json_begin();
    json_key(&o, "200", of_answer(e));
    if (access_needs_key(access))
        json_key(&o, "401", of_refusal("keys are configured, and the request has none of them"));
    for (size_t i = 0; i < (e->get ? ARRAY_LEN(of_gets) : ARRAY_LEN(of_posts)); i++) {
        char status[16];
        snprintf(status, sizeof status, "%d", e->get ? of_gets[i] : of_posts[i]);
        json_key(&o, status, of_refusal("refused; the code says why"));
    }
    return json_end(&o);
}

/* The id in the path, and what may follow a '?'. */
static json_t *of_tail(const struct endpoint *e)
{
    json_t *list = json_pack("[{s:s, s:s, s:b, s:{s:s}}]", "name", "id", "in", "path", "required", 1, "schema", "type",
                             "string");
    bool failed = !list;
    for (int i = 0; e->explains && i < N_EXPLAIN_PARAMETERS; i++) {
        const struct explain_parameter *q = &explain_parameters[i];
        failed |= json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:{s:s, s:i, s:i}}", "name", q->name, "in",
                                                        "query", "description", q->help, "schema", "type", "integer",
                                                        "minimum", 0, "maximum", q->most)) != 0;
    }
    if (!failed)
        return list;
    json_decref(list);
    return NULL;
}

static void put_route(struct json_out *paths, const char *method, const char *path, const char *name,
                      const struct endpoint *e, enum access access)
{
    size_t before = strcspn(path, "*");
    bool star = path[before] != 0, tail = star || (path[1] && path[before - 1] == '/');
    char whole[80], word[8] = "";
    snprintf(whole, sizeof whole, "%.*s%s%s", (int)before, path, tail ? "{id}" : "", star ? path + before + 1 : "");
    for (size_t i = 0; method[i] && i + 1 < sizeof word; i++)
        word[i] = (char)(method[i] + ('a' - 'A'));
    struct json_out o = json_begin();
    json_key(&o, "summary", json_string(name));
    if (tail)
        json_key(&o, "parameters", of_tail(e));
    if (e->of_model)
        json_key(&o, "parameters", json_pack("[{s:s, s:s, s:s, s:{s:s}}]", "name", "model", "in", "query",
                                             "description", "of several models the one that is meant; without it the "
                                             "first", "schema", "type", "string"));
    if (e->read)
        json_key(&o, "requestBody", of_body(e->on));
    json_key(&o, "responses", of_responses(e, access));
    json_t *there = json_object_get(paths->json, whole);
    if (!there) {
        json_key(paths, whole, json_object());
        there = json_object_get(paths->json, whole);
    }
    if (json_object_set_new(there, word, json_end(&o)) != 0)
        paths->failed = true;
}

static json_t *of_paths(void)
{
    struct json_out paths = json_begin();
#define ROUTE(method, path, name, access) put_route(&paths, #method, path, #name, &endpoint_##name, ACCESS_##access);
#include "server/routes.def"
    return json_end(&paths);
}

static json_t *of_error(void)
{
    json_t *error = json_pack("{s:s, s:[s,s,s,s], s:{s:{s:s}, s:{s:s}, s:{s:[s,s]}, s:{s:s}}}", "type", "object",
                              "required", "message", "type", "param", "code", "properties", "message", "type", "string",
                              "type", "type", "string", "param", "type", "string", "null", "code", "type", "string");
    return json_pack("{s:s, s:[s], s:{s:o}}", "type", "object", "required", "error", "properties", "error", error);
}

static json_t *describe(void)
{
    return json_pack("{s:s, s:{s:s, s:s}, s:o, s:{s:{s:o}, s:{s:{s:s, s:s}}}}", "openapi", "3.1.0", "info", "title",
                     "hearth", "version", hearth_version(), "paths", of_paths(), "components", "schemas", "Error",
                     of_error(), "securitySchemes", "key", "type", "http", "scheme", "bearer");
}

static bool get(const struct view *v, const struct load_figures *now, const char *tail, struct buf *out,
                struct problem *p)
{
    (void)v;
    (void)now;
    (void)tail;
    return json_put(out, describe()) || ask_no_memory(p);
}

/* ---- as YAML ---- */

static int put_piece(const char *bytes, size_t n, void *out)
{
    buf_put(out, bytes, n);
    return 0;
}

static bool put_json(struct buf *out, const json_t *j)
{
    return json_dump_callback(j, put_piece, out, JSON_ENCODE_ANY | RECEIPT_JSON_FLAGS) == 0;
}

/* Objects line by line; what has no members of its own, and lists, are the same in JSON. The depth is that of our own
 * document. */
static bool put_yaml(struct buf *out, const json_t *object, int depth)
{
    const char *key;
    json_t *value;
    bool ok = true;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        bool block = json_object_size(value) > 0;
        json_t *name = json_string(key);
        buf_printf(out, "%*s", 2 * depth, "");
        ok = ok && name && put_json(out, name);
        json_decref(name);
        buf_puts(out, block ? ":\n" : ": ");
        ok = ok && (block ? put_yaml(out, value, depth + 1) : put_json(out, value));
        if (!block)
            buf_puts(out, "\n");
    }
    return ok && !out->failed;
}

static bool get_yaml(const struct view *v, const struct load_figures *now, const char *tail, struct buf *out,
                     struct problem *p)
{
    (void)v;
    (void)now;
    (void)tail;
    json_t *all = describe();
    bool ok = all && put_yaml(out, all, 0);
    json_decref(all);
    return ok || ask_no_memory(p);
}

const struct endpoint endpoint_openapi = { .get = get },
                      endpoint_openapi_yaml = { .get = get_yaml, .content_type = "application/yaml" };
