#include "text/ugm.h"

#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"

static const char space_mark[] = "\xe2\x96\x81"; /* U+2581 */
static const size_t max_normalized_bytes = (size_t)256 << 20;
static const float unknown_penalty = 10.0f;

/* The best way to the end of a byte. */
struct ugm_place {
    float score;
    int32_t id;   /* the token that ends here, -1: unknown; */
    int32_t from; /* where it begins; -1: no token ends here */
};

void ugm_work_free(struct ugm_work *w)
{
    buf_free(&w->text);
    mem_free(w->best);
    *w = (struct ugm_work){ 0 };
}

static bool read_charsmap(struct ugm *u, const struct gguf *g, hearth_error *err)
{
    static const char key[] = "tokenizer.ggml.precompiled_charsmap";
    enum { MAX_CHARSMAP = 16 << 20 };
    const struct gguf_value *value = gguf_find(g, key);
    if (!value)
        return true;
    enum gguf_type elem = value->type == GGUF_ARRAY && value->elem == GGUF_I8 ? GGUF_I8 : GGUF_U8;
    struct gguf_array a;
    if (!gguf_array_or_none(g, key, elem, MAX_CHARSMAP, &a, err))
        return false;
    return charsmap_open(&u->charsmap, (struct str){ (const char *)value->data, (size_t)a.n }, err);
}

bool ugm_build(struct ugm *u, const struct vocab *v, const struct gguf *g, struct arena *arena, hearth_error *err)
{
    *u = (struct ugm){ .vocab = v };
    bool any = false;
    for (int32_t i = 0; i < v->n_tokens; i++) {
        if (v->type[i] != TOKEN_NORMAL)
            continue;
        u->unknown_score = any && u->unknown_score < v->score[i] ? u->unknown_score : v->score[i];
        u->best_score = any && u->best_score > v->score[i] ? u->best_score : v->score[i];
        any = true;
    }
    u->unknown_score -= unknown_penalty;
    return gguf_bool_or(g, "tokenizer.ggml.remove_extra_whitespaces", false, &u->remove_extra_whitespace, err)
           && read_charsmap(u, g, err)
           && prefix_build(&u->tokens, v, 1u << TOKEN_NORMAL | 1u << TOKEN_USER_DEFINED, arena, err);
}

/* The next bytes of text and what is written for them. */
static size_t next_part(const struct ugm *u, struct str text, struct str *out)
{
    size_t n = charsmap_match(&u->charsmap, text, out);
    if (n > 0)
        return n;
    int length = utf8_length((const uint8_t *)text.ptr, text.len, NULL, NULL);
    *out = (struct str){ text.ptr, length > 0 ? (size_t)length : 1 }; /* an ill-formed byte stays as it is */
    return out->len;
}

/* Mapped, spaces as U+2581, and where the file says so one space for several and none at the ends. */
static bool normalize(const struct ugm *u, struct buf *out, struct str text, bool with_space, hearth_error *err)
{
    bool skip_space = u->remove_extra_whitespace; /* the character before was a space */
    bool started = false;
    size_t end = 0; /* of what is no space */
    buf_clear(out);
    for (size_t at = 0; at < text.len && out->len <= max_normalized_bytes;) {
        struct str part;
        at += next_part(u, (struct str){ text.ptr + at, text.len - at }, &part);
        for (size_t i = 0; i < part.len; i++) {
            bool space = part.ptr[i] == ' ';
            if (space && skip_space)
                continue;
            if (!started && with_space)
                buf_puts(out, space_mark);
            started = true;
            if (space)
                buf_puts(out, space_mark);
            else
                buf_put(out, part.ptr + i, 1);
            skip_space = space && u->remove_extra_whitespace;
            end = space ? end : out->len;
        }
    }
    if (out->failed)
        return fail_memory(err, "normalizing text");
    if (out->len > max_normalized_bytes)
        return fail(err, HEARTH_ERR_USAGE,
                    "the text has more than %zu bytes after normalization; send it in smaller parts",
                    max_normalized_bytes);
    if (u->remove_extra_whitespace)
        out->len = end;
    return true;
}

static void offer(struct ugm_place *place, float score, int32_t id, int32_t from)
{
    if (place->from < 0 || score > place->score)
        *place = (struct ugm_place){ score, id, from };
}

/* Fill best[] for text; best[i + 1] is the best way to the end of byte i. */
static void find_best(const struct ugm *u, struct ugm_place *best, struct str text)
{
    for (size_t i = 0; i <= text.len; i++)
        best[i] = (struct ugm_place){ .from = -1 };
    for (size_t i = 0; i < text.len;) {
        const uint8_t *p = (const uint8_t *)text.ptr + i;
        int length = utf8_length(p, text.len - i, NULL, NULL);
        size_t bytes = length > 0 ? (size_t)length : 1;
        bool has_single = false;
        struct prefix_walk walk = { 0 };
        for (size_t k = 0; k < text.len - i; k++) {
            int32_t id = prefix_step(&u->tokens, &walk, p[k]);
            if (id >= 0) {
                bool user = u->vocab->type[id] == TOKEN_USER_DEFINED;
                float score = user ? (float)(k + 1) * u->best_score - 0.1f : u->vocab->score[id];
                offer(&best[i + k + 1], best[i].score + score, id, (int32_t)i);
                has_single = has_single || k + 1 == bytes;
            }
            if (prefix_over(&walk))
                break;
        }
        if (!has_single)
            offer(&best[i + bytes], best[i].score + u->unknown_score, -1, (int32_t)i);
        i += bytes;
    }
}

static bool push_unknown(const struct ugm *u, struct str text, bool after_unknown, struct token_list *out,
                         hearth_error *err)
{
    const struct vocab *v = u->vocab;
    bool has_bytes = true;
    for (size_t i = 0; i < text.len; i++)
        has_bytes = has_bytes && v->byte_token[(uint8_t)text.ptr[i]] >= 0;
    for (size_t i = 0; has_bytes && i < text.len; i++)
        token_list_push(out, v->byte_token[(uint8_t)text.ptr[i]]);
    if (has_bytes || after_unknown)
        return true;
    if (v->unk < 0)
        return fail(err, HEARTH_ERR_FORMAT,
                    "the vocabulary has no token for byte 0x%02x and no unknown token; use another model file",
                    (uint8_t)text.ptr[0]);
    token_list_push(out, v->unk);
    return true;
}

/* From the end to the start, turning the links around; then forward. */
static bool push_path(const struct ugm *u, struct ugm_place *best, struct str text, struct token_list *out,
                      hearth_error *err)
{
    int32_t to = (int32_t)text.len;
    for (int32_t at = to, next = -1; at >= 0;) {
        int32_t from = at > 0 ? best[at].from : -1;
        best[at].from = next;
        next = at;
        at = from;
    }
    bool after_unknown = false;
    for (int32_t at = 0; at < to;) {
        int32_t next = best[at].from;
        if (best[next].id >= 0)
            token_list_push(out, best[next].id);
        else if (!push_unknown(u, (struct str){ text.ptr + at, (size_t)(next - at) }, after_unknown, out, err))
            return false;
        after_unknown = best[next].id < 0;
        at = next;
    }
    return true;
}

bool ugm_encode(const struct ugm *u, struct ugm_work *w, struct str text, bool with_space, struct token_list *out,
                hearth_error *err)
{
    if (!normalize(u, &w->text, text, with_space, err))
        return false;
    struct str all = buf_str(&w->text);
    if (all.len == 0)
        return true;
    if (all.len + 1 > w->room) {
        struct ugm_place *best = mem_resize(w->best, (all.len + 1) * sizeof *best);
        if (!best)
            return fail_memory(err, "tokenizing text");
        w->best = best;
        w->room = all.len + 1;
    }
    find_best(u, w->best, all);
    return push_path(u, w->best, all, out, err);
}
