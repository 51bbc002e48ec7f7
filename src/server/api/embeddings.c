/* embeddings.c: POST /v1/embeddings: vectors of texts, in OpenAI's form. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "server/api/endpoints.h"

static bool read_form(struct ask *a, const struct fields *f, const struct view *v, struct problem *p)
{
    const char *format = json_string_value(f->value[F_encoding_format]);
    a->base64 = format && strcmp(format, "base64") == 0;
    if (format && !a->base64 && strcmp(format, "float") != 0)
        return refuse(p, PROBLEM_invalid_value, "encoding_format", "encoding_format is '%.40s'; it must be float or "
                      "base64", format);
    a->n_dimensions = f->value[F_dimensions] ? (int)f->number[F_dimensions] : v->info.n_embd;
    if (a->n_dimensions > v->info.n_embd)
        return refuse(p, PROBLEM_invalid_value, "dimensions", "dimensions is %d; the vectors of this model have %d "
                      "values", a->n_dimensions, v->info.n_embd);
    int normalize = f->value[F_embd_normalize] ? (int)f->number[F_embd_normalize] : 2;
    if (normalize != 2 && normalize != -1)
        return refuse(p, PROBLEM_not_supported, "embd_normalize", "embd_normalize is %d; only 2 (to length 1) and -1 "
                      "(not at all) are supported", normalize);
    a->as_they_are = normalize == -1;
    return true;
}

static bool read(struct ask *a, const struct fields *f, const struct view *v, struct problem *p)
{
    const char *pooling = v->info.pooling;
    if (!ask_read_prompts(a, f, F_input, ASK_MAX_INPUTS, p))
        return false;
    if (!pooling[0] || strcmp(pooling, "none") == 0)
        return refuse(p, PROBLEM_not_implemented, NULL, "'%s' is a model that generates text, without pooling for "
                      "embeddings; use a model for embeddings", v->model_id);
    if (strcmp(pooling, "rank") == 0)
        return refuse(p, PROBLEM_not_implemented, NULL, "'%s' is a model that ranks documents, it makes no embeddings; "
                      "use /v1/rerank", v->model_id);
    a->op = OP_GENERATE;
    a->request.embed = true;
    a->inputs = "input";
    ask_read_model(a, f, v);
    return read_form(a, f, v, p);
}

/* ---- vectors as text ---- */

static void put_floats(struct buf *out, const float *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%c%.9g", i ? ',' : '[', (double)v[i]);
    buf_puts(out, "]");
}

/* The byte at this place of little-endian floats. */
static unsigned byte_at(const float *v, size_t at)
{
    uint32_t bits;
    memcpy(&bits, &v[at / 4], sizeof bits);
    return bits >> 8 * (at % 4) & 255;
}

static void put_base64(struct buf *out, const float *v, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n_bytes = 4 * n;
    buf_puts(out, "\"");
    for (size_t at = 0; at < n_bytes; at += 3) {
        size_t left = n_bytes - at;
        unsigned three = byte_at(v, at) << 16;
        three |= left > 1 ? byte_at(v, at + 1) << 8 : 0;
        three |= left > 2 ? byte_at(v, at + 2) : 0;
        char four[4] = { digits[three >> 18], digits[three >> 12 & 63], left > 1 ? digits[three >> 6 & 63] : '=',
                         left > 2 ? digits[three & 63] : '=' };
        buf_put(out, four, sizeof four);
    }
    buf_puts(out, "\"");
}

static void vector(struct reply *r, struct choice *c, const float *v, size_t n)
{
    const struct ask *a = r->ask;
    size_t wanted = min_size(n, (size_t)a->n_dimensions);
    float *part = mem_alloc(wanted * sizeof *part);
    r->failed |= !part;
    if (!part)
        return;
    memcpy(part, v, wanted * sizeof *part);
    if (!a->as_they_are)
        hearth_normalize(part, wanted);
    if (a->base64)
        put_base64(&c->text, part, wanted);
    else
        put_floats(&c->text, part, wanted);
    r->failed |= c->text.failed;
    mem_free(part);
}

/* What is around the vectors; they are written as they are: as values of the JSON library they would take forty bytes
 * each. */
static bool put(struct reply *r, struct buf *out)
{
    struct json_out o = json_begin();
    buf_puts(out, "{\"object\":\"list\",\"data\":[");
    for (int i = 0; i < r->n_choices; i++) {
        struct choice *c = &r->choices[i];
        buf_printf(out, "%s{\"object\":\"embedding\",\"index\":%d,\"embedding\":", i ? "," : "", i);
        buf_put(out, c->text.len ? c->text.ptr : "null", c->text.len ? c->text.len : 4);
        buf_puts(out, "}");
        buf_free(&c->text);
    }
    buf_puts(out, "],");
    json_key(&o, "model", json_string(r->view->model_id));
    json_key(&o, "usage", reply_usage_of_inputs(r));
    json_key(&o, "hearth", reply_receipt(r, r->choices));
    size_t at = out->len;
    if (!json_put(out, json_end(&o)))
        return false;
    out->ptr[at] = ' '; /* the brace */
    return true;
}

static const struct dialect dialect = { .id_prefix = "embd-", .vector = vector, .put = put };

const struct endpoint endpoint_embeddings = { .on = ON_EMBED, .read = read, .dialect = &dialect };
