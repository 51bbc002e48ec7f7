/* tokenize.c: POST /tokenize, /detokenize and /apply-template: what the model reads, without its answer. */
#include <string.h>

#include "base/utf8.h"
#include "server/api/endpoints.h"

/* ---- text to tokens ---- */

static bool read_tokenize(struct ask *a, const struct fields *f, const struct view *v, struct problem *p)
{
    size_t most = 4 * (size_t)v->plan.n_ctx_tokens + (1 << 20);
    a->op = OP_TOKENIZE;
    if (!f->value[F_content])
        return refuse(p, PROBLEM_missing_field, "content", "there is no content; give the text");
    if (!ask_read_text(a, f, F_content, &a->text, p))
        return false;
    if (a->text.n_bytes > most)
        return refuse(p, PROBLEM_invalid_value, "content", "content has %zu bytes; at most %zu are taken here",
                      a->text.n_bytes, most);
    a->add_special = field_flag(f, F_add_special, false);
    a->parse_special = field_flag(f, F_parse_special, true);
    a->with_pieces = field_flag(f, F_with_pieces, false);
    return true;
}

/* {id, piece}: a text, or its bytes where it is none. */
static json_t *of_piece(const struct view *v, int32_t id)
{
    size_t n = 0;
    const char *text = v->token_text(v->token_arg, id, &n);
    json_t *piece;
    if (utf8_valid((struct str){ text ? text : "", n })) {
        piece = json_stringn_nocheck(text ? text : "", n);
    } else {
        piece = json_array();
        for (size_t i = 0; i < n; i++)
            json_array_append_new(piece, json_integer((unsigned char)text[i]));
    }
    return json_pack("{s:i, s:o}", "id", (int)id, "piece", piece);
}

static json_t *write_tokenize(const struct ask *a, const struct view *v)
{
    json_t *list = json_array();
    bool failed = false;
    for (size_t i = 0; i < a->n_ids; i++)
        failed |= json_array_append_new(list, a->with_pieces ? of_piece(v, a->ids[i]) : json_integer(a->ids[i])) != 0;
    if (!failed)
        return json_pack("{s:o}", "tokens", list);
    json_decref(list);
    return NULL;
}

/* ---- tokens to text ---- */

static bool read_detokenize(struct ask *a, const struct fields *f, const struct view *v, struct problem *p)
{
    a->op = OP_DETOKENIZE;
    if (!f->value[F_tokens])
        return refuse(p, PROBLEM_missing_field, "tokens", "there are no tokens; give a list of ids");
    return ask_read_ids(a, f->value[F_tokens], "tokens", v->info.n_vocab, &a->ids, &a->n_ids, p);
}

static json_t *write_detokenize(const struct ask *a, const struct view *v)
{
    (void)v;
    return json_pack("{s:o}", "content", json_of_bytes(a->out_text.ptr, a->out_text.len));
}

/* ---- a conversation in the template's words ---- */

static bool read_template(struct ask *a, const struct fields *f, const struct view *v, struct problem *p)
{
    a->op = OP_RENDER;
    return ask_read_chat(a, f, v, p);
}

static json_t *write_template(const struct ask *a, const struct view *v)
{
    (void)v;
    return json_pack("{s:o}", "prompt", json_of_bytes(a->out_text.ptr, a->out_text.len));
}

const struct endpoint endpoint_tokenize = { .on = ON_TOKENIZE, .read = read_tokenize, .write = write_tokenize },
                      endpoint_detokenize = { .on = ON_DETOKENIZE, .read = read_detokenize, .write = write_detokenize },
                      endpoint_apply_template = { .on = ON_TEMPLATE, .read = read_template, .write = write_template };
