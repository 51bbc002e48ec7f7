#include "text/chat/chat.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/sha256.h"
#include "base/utf8.h"
#include "text/chat/chat_impl.h"

/* ---- life ---- */

/* False: no memory. A text that is not UTF-8 is left out. */
static bool trust_token(struct chat *c, const char *name, int32_t id)
{
    const struct vocab *v = tokenizer_vocab(c->tokenizer);
    if (id < 0 || id >= v->n_tokens)
        return true;
    struct str s = v->text[id];
    return !utf8_valid(s) || json_object_set_new(c->trusted, name, json_stringn(s.ptr, s.len)) == 0;
}

static bool make_trusted(struct chat *c)
{
    const struct vocab *v = tokenizer_vocab(c->tokenizer);
    c->trusted = json_object();
    return c->trusted && trust_token(c, "bos_token", v->bos) && trust_token(c, "eos_token", v->eos)
        && trust_token(c, "unk_token", v->unk) && trust_token(c, "pad_token", v->pad);
}

/* A token that the template writes itself is structure; in a message its text stays text. A run of white space is
 * no structure. */
static bool not_written_by_template(void *arg, struct str text)
{
    const struct chat *c = arg;
    bool blank = true;
    for (size_t i = 0; i < text.len; i++)
        blank &= text.ptr[i] == ' ' || text.ptr[i] == '\n' || text.ptr[i] == '\t';
    return blank || str_search(c->source, text) == SIZE_MAX;
}

/* False: no memory. */
static bool collect_specials(const struct chat *c, struct str mark, int32_t *ids, int *n)
{
    const struct vocab *v = tokenizer_vocab(c->tokenizer);
    struct token_list list = { 0 };
    hearth_error why = { 0 };
    if (mark.len && tokenizer_encode(c->tokenizer, mark, true, false, &list, &why))
        for (size_t i = 0; i < list.n && *n < CHAT_MAX_MARKS; i++)
            if (v->type[list.ids[i]] == TOKEN_CONTROL)
                ids[(*n)++] = list.ids[i];
    token_list_free(&list);
    return why.status != HEARTH_ERR_MEMORY;
}

static bool find_mark_tokens(struct chat *c)
{
    const struct thinking_marks *m = &c->traits.marks;
    return collect_specials(c, m->open, c->mark, &c->n_mark) && collect_specials(c, m->close, c->mark, &c->n_mark)
        && collect_specials(c, m->answer, c->mark, &c->n_mark)
        && collect_specials(c, m->close, c->close, &c->n_close);
}

static bool create(struct chat *c, struct str source, hearth_error *err)
{
    struct jinja_limits limits = jinja_limits_default();
    struct jinja_error why;
    struct sha256 *sha = sha256_new();
    if (!sha)
        return fail_memory(err, "the chat template");
    sha256_add(sha, source.ptr, source.len);
    sha256_hex(sha, c->sha256);
    sha256_free(sha);
    c->template = jinja_compile(source, &limits, &why);
    if (!c->template)
        return jinja_fail(err, &why);
    c->source = arena_strdup(&c->arena, source);
    if (!c->source.ptr || !make_trusted(c))
        return fail_memory(err, "the chat template");
    if (!special_subset(&c->always, tokenizer_always(c->tokenizer), not_written_by_template, c, &c->arena, err))
        return false;
    if (!chat_probe(c) || !find_mark_tokens(c))
        return fail_memory(err, "the chat template");
    return true;
}

struct chat *chat_create(struct str source, const struct tokenizer *t, hearth_error *err)
{
    struct chat *c = mem_alloc(sizeof *c);
    if (!c) {
        fail_memory(err, "the chat template");
        return NULL;
    }
    arena_init(&c->arena, (size_t)64 << 20);
    c->tokenizer = t;
    if (create(c, source, err))
        return c;
    chat_destroy(c);
    return NULL;
}

void chat_destroy(struct chat *c)
{
    if (!c)
        return;
    jinja_template_free(c->template);
    json_decref(c->trusted);
    arena_free(&c->arena);
    mem_free(c);
}

const struct chat_traits *chat_traits(const struct chat *c) { return &c->traits; }
const char *chat_sha256(const struct chat *c) { return c->sha256; }

static bool is_one_of(int32_t id, const int32_t *ids, int n)
{
    for (int i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

bool chat_is_mark(const struct chat *c, int32_t id) { return is_one_of(id, c->mark, c->n_mark); }
bool chat_is_close(const struct chat *c, int32_t id) { return is_one_of(id, c->close, c->n_close); }

/* ---- rendering ---- */

static struct jinja_limits limits_of_a_look(void)
{
    struct jinja_limits limits = jinja_limits_default();
    limits.steps = 200000;
    limits.memory_bytes = 16 << 20;
    limits.wall_ms = 0; /* what a template can do must not depend on how busy the machine is */
    return limits;
}

bool chat_try(const struct chat *c, const json_t *values, const struct jinja_date *date, struct jinja_output *out,
              struct jinja_error *err)
{
    struct jinja_limits limits = limits_of_a_look();
    struct jinja_input in = { .values = values, .trusted = c->trusted, .date = *date };
    return jinja_render(c->template, &in, &limits, out, err);
}

/* Cut the text behind the final message, as the reference does: behind its last occurrence, with the white space
 * at its end only if the template kept that. */
static bool cut_after(struct chat_prompt *p, struct str final, hearth_error *err)
{
    struct str core = final;
    while (core.len && strchr(" \n\t\r", core.ptr[core.len - 1]))
        core.len--;
    size_t lead = 0;
    while (lead < core.len && strchr(" \n\t\r", core.ptr[lead]))
        lead++;
    core = (struct str){ core.ptr + lead, core.len - lead };
    size_t at = core.len ? str_search_last(p->text, core) : SIZE_MAX;
    if (at == SIZE_MAX)
        return fail(err, HEARTH_ERR_USAGE,
                    "continue_final_message: the last message's text is not in the prompt that the template writes; "
                    "give it some text, or send the conversation without it");
    size_t end = at + core.len, tail = final.len - lead - core.len;
    if (p->text.len - end >= tail && memcmp(p->text.ptr + end, final.ptr + final.len - tail, tail) == 0)
        end += tail;
    p->text.len = end;
    return true;
}

static bool make_spans(struct chat_prompt *p)
{
    struct jinja_output *o = &p->out;
    p->spans = arena_array(&o->arena, hearth_span, o->n_spans);
    if (!p->spans)
        return false;
    for (size_t i = 0; i < o->n_spans && o->spans[i].begin < p->text.len; i++) {
        size_t end = min_size(o->spans[i].end, p->text.len);
        p->spans[p->n_spans++] =
            (hearth_span){ .text = p->text.ptr + o->spans[i].begin, .n_bytes = end - o->spans[i].begin,
                           .trusted = o->spans[i].trusted };
    }
    return true;
}

/* Does the template itself leave an opening mark unclosed at the end? */
static bool ends_in_thinking(const struct chat_prompt *p, const struct thinking_marks *m)
{
    if (p->n_spans == 0 || !p->spans[p->n_spans - 1].trusted)
        return false;
    struct str tail = { p->spans[p->n_spans - 1].text, p->spans[p->n_spans - 1].n_bytes };
    size_t open = str_search_last(tail, m->open), close = str_search_last(tail, m->close);
    return open != SIZE_MAX && (close == SIZE_MAX || close < open);
}

static bool render(const struct chat *c, const struct chat_input *in, const struct jinja_limits *limits,
                   struct chat_prompt *out, hearth_error *err)
{
    struct jinja_error why;
    struct jinja_input input = { .values = in->values, .trusted = c->trusted, .date = in->date };
    *out = (struct chat_prompt){ 0 };
    if (!jinja_render(c->template, &input, limits, &out->out, &why))
        return jinja_fail(err, &why);
    out->text = out->out.text;
    if (in->go_on.ptr && !cut_after(out, in->go_on, err))
        return false;
    if (!make_spans(out))
        return fail_memory(err, "the rendered prompt");
    out->starts_thinking = ends_in_thinking(out, &c->traits.marks);
    return true;
}

bool chat_render(const struct chat *c, const struct chat_input *in, struct chat_prompt *out, hearth_error *err)
{
    struct jinja_limits limits = jinja_limits_default();
    return render(c, in, &limits, out, err);
}

bool chat_render_look(const struct chat *c, const struct chat_input *in, struct chat_prompt *out, hearth_error *err)
{
    struct jinja_limits limits = limits_of_a_look();
    return render(c, in, &limits, out, err);
}

void chat_prompt_free(struct chat_prompt *p)
{
    jinja_output_free(&p->out);
    *p = (struct chat_prompt){ 0 };
}

bool chat_encode(const struct chat *c, const struct chat_prompt *p, struct token_list *out, bool *bos_added,
                 size_t *n_specials_kept, hearth_error *err)
{
    const struct vocab *v = tokenizer_vocab(c->tokenizer);
    *bos_added = v->add_bos && v->bos >= 0
              && !(p->n_spans && p->spans[0].trusted && str_starts(p->text, v->text[v->bos]));
    if (*bos_added)
        token_list_push(out, v->bos);
    if (!tokenizer_encode_spans(c->tokenizer, p->spans, p->n_spans, &c->always, out, n_specials_kept, err))
        return false;
    return out->failed ? fail_memory(err, "the prompt's tokens") : true;
}
