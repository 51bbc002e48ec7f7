#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "cli/diff.h"

/* ---- what was asked ---- */

/* Where the values of a recording are that say what an answer becomes. Those of sampling.def stand behind the seed. */
static const struct row {
    const char *name, *object, *key; /* object NULL: the key is the receipt's own */
    bool in_request;                 /* the object is that of recording_of_request() */
    bool idle;
} before[] = {
    { "model", "model", "identity", false, false },
    { "arithmetic_revision", NULL, "arithmetic_revision", false, false },
    { "kv_type", "memory", "kv_type", false, false },
    { "template", "template", "sha256", false, false },
    { "seed", "seed", "value", false, false },
}, behind[] = {
    { "samplers", "samplers", "value", false, false },
    { "dry_sequence_breakers", "dry_sequence_breakers", "value", false, false },
    { "logit_bias", NULL, "logit_bias", true, false },
    { "ignore_eos", NULL, "ignore_eos", false, false },
    { "max_tokens", NULL, "max_tokens", true, false },
    { "stop", NULL, "stop", true, false },
    { "isa", NULL, "isa", false, true },
    { "n_threads", NULL, "n_threads", false, true },
};
static_assert(ARRAY_LEN(before) + ARRAY_LEN(behind) + HEARTH_N_SAMPLING <= DIFF_MAX_SETTINGS, "room for all of them");

static const json_t *value_of(const struct recording *r, const struct row *row)
{
    const json_t *in = row->in_request ? r->request : r->receipt;
    const json_t *value = json_object_get(row->object ? json_object_get(in, row->object) : in, row->key);
    return json_is_null(value) ? NULL : value;
}

/* 1 and 1.0 are one number. */
static bool same_value(const json_t *a, const json_t *b)
{
    if (!a || !b)
        return a == b;
    if (json_is_number(a) && json_is_number(b) && !(json_is_integer(a) && json_is_integer(b)))
        return json_number_value(a) >= json_number_value(b) && json_number_value(a) <= json_number_value(b);
    return json_equal(a, b);
}

static void compare_setting(struct diff *d, const char *name, const json_t *a, const json_t *b, bool idle)
{
    if (!same_value(a, b))
        d->settings[d->n_settings++] = (struct diff_setting){ name, { a, b }, idle };
}

static void compare_rows(struct diff *d, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        compare_setting(d, rows[i].name, value_of(&d->side[0].recording, &rows[i]),
                        value_of(&d->side[1].recording, &rows[i]), rows[i].idle);
}

static void compare_settings(struct diff *d)
{
    compare_rows(d, before, ARRAY_LEN(before));
    for (int i = 0; i < HEARTH_N_SAMPLING; i++) {
        const char *name = hearth_sampling_table[i].name;
        const json_t *value[2];
        for (int k = 0; k < 2; k++)
            value[k] = json_object_get(json_object_get(json_object_get(d->side[k].recording.receipt, "sampling"), name),
                                       "value");
        compare_setting(d, name, value[0], value[1], false);
    }
    compare_rows(d, behind, ARRAY_LEN(behind));
}

/* ---- the answers ---- */

const char *diff_end(const struct diff_side *side)
{
    const char *detail = recording_text(&side->recording, "finish", "detail");
    return detail[0] ? detail : recording_text(&side->recording, "finish", "reason");
}

int32_t diff_token(const struct diff_side *side, size_t at) { return at < side->n_answer ? side->answer[at] : -1; }

/* The token that ended an answer is none of its output, but the model chose it like the others. */
static bool read_answer(struct diff_side *side, hearth_error *err)
{
    const struct recording *r = &side->recording;
    hearth_file_info info;
    int id;
    side->answer = mem_alloc((r->n_output + 1) * sizeof *side->answer);
    if (!side->answer)
        return fail_memory(err, "the tokens of an answer");
    if (r->n_output > 0)
        memcpy(side->answer, r->output, r->n_output * sizeof *side->answer);
    side->n_answer = r->n_output;
    hearth_file_describe(side->file, &info);
    if (sscanf(diff_end(side), "end-of-generation token %d", &id) == 1 && id >= 0 && id < info.n_vocab)
        side->answer[side->n_answer++] = id;
    for (size_t i = 0; i < r->n_output; i++) {
        size_t n = 0;
        const char *text = hearth_file_token_text(side->file, r->output[i], &n);
        if (text)
            buf_put(&side->text, text, n);
    }
    return !side->text.failed || fail_memory(err, "the text of an answer");
}

static size_t first_other(const int32_t *a, size_t n_a, const int32_t *b, size_t n_b)
{
    size_t i = 0;
    while (i < n_a && i < n_b && a[i] == b[i])
        i++;
    return i == n_a && i == n_b ? SIZE_MAX : i;
}

static size_t first_other_byte(const struct buf *a, const struct buf *b)
{
    size_t i = 0;
    while (i < a->len && i < b->len && a->ptr[i] == b->ptr[i])
        i++;
    return i == a->len && i == b->len ? SIZE_MAX : i;
}

/* In the middle of a character. */
static bool inside(const struct buf *text, size_t at)
{
    return at < text->len && ((unsigned char)text->ptr[at] & 0xc0) == 0x80;
}

enum { WORDS_BEFORE = 24, WORDS_BEHIND = 48 };

const char *diff_words(const struct buf *text, size_t at, size_t *n)
{
    size_t begin = min_size(at, text->len), end = min_size(begin + WORDS_BEHIND, text->len);
    size_t least = begin > WORDS_BEFORE ? begin - WORDS_BEFORE : 0;
    while (begin > least && (inside(text, begin) || (unsigned char)text->ptr[begin - 1] > ' '))
        begin--;
    while (begin < at && inside(text, begin)) /* a word longer than that */
        begin++;
    while (end > begin && inside(text, end))
        end--;
    *n = end - begin;
    return text->ptr ? text->ptr + begin : "";
}

bool diff_compare(struct diff *d, hearth_error *err)
{
    struct diff_side *a = &d->side[0], *b = &d->side[1];
    const struct recording *ra = &a->recording, *rb = &b->recording;
    d->prompt_at = d->answer_at = SIZE_MAX;
    compare_settings(d);
    if (!vocabularies_compare(a->file, b->file, &d->vocabulary, err) || !read_answer(a, err) || !read_answer(b, err))
        return false;
    d->text_at = first_other_byte(&a->text, &b->text);
    if (!vocabularies_same(&d->vocabulary))
        return true; /* an id here is another word there */
    d->prompt_at = first_other(ra->prompt, ra->n_prompt, rb->prompt, rb->n_prompt);
    d->answer_at = first_other(a->answer, a->n_answer, b->answer, b->n_answer);
    d->end_differs = d->answer_at == SIZE_MAX && strcmp(diff_end(a), diff_end(b)) != 0;
    return true;
}

/* ---- the distributions ---- */

/* Prompt and answer, as far as it is looked at. `more`: a token that stands behind all of it, for the distribution
 * there; -1: none. */
static bool read_side(struct diff_side *side, size_t n_answer, int32_t more, struct divergence_side *to,
                      hearth_error *err)
{
    const struct recording *r = &side->recording;
    size_t n = r->n_prompt + n_answer;
    side->read = mem_alloc((n + 1) * sizeof *side->read);
    if (!side->read)
        return fail_memory(err, "the tokens of an answer");
    memcpy(side->read, r->prompt, r->n_prompt * sizeof *side->read);
    memcpy(side->read + r->n_prompt, side->answer, n_answer * sizeof *side->read);
    if (more >= 0)
        side->read[n++] = more;
    to->source = side->choice.source;
    to->file = side->file;
    to->ids = side->read;
    to->n_ids = n;
    to->from = r->n_prompt;
    return recording_kv_type(r, &to->kv_type, err);
}

static bool same_file(const hearth_source *a, const hearth_source *b)
{
    return a->path && b->path ? strcmp(a->path, b->path) == 0 : a->bytes == b->bytes && !a->path && !b->path;
}

static uint64_t recorded_mix(const struct diff_side *s, size_t at)
{
    return at < s->recording.n_output ? s->recording.mixes[at] : s->recording.end_mix;
}

/* As far as a side's own answer was read, is it what was recorded of it? */
static void look_at_mixes(struct diff *d, int which)
{
    struct diff_side *s = &d->side[which];
    const struct divergence_side *found = &d->divergence.side[which];
    size_t n = min_size(found->n_ids - found->from, s->n_answer);
    if (which == 1 && d->prompt_at == SIZE_MAX && d->answer_at != SIZE_MAX)
        n = min_size(n, d->answer_at + 1); /* behind it B reads A's answer */
    s->other_logits = SIZE_MAX;
    s->has_mixes = s->recording.mixes && n > 0;
    for (size_t i = 0; s->has_mixes && i < n && s->other_logits == SIZE_MAX; i++)
        if (recorded_mix(s, i) != 0 && recorded_mix(s, i) != found->scored[i].mix)
            s->other_logits = i;
}

bool diff_score(struct diff *d, int n_threads, hearth_error *err)
{
    struct divergence *g = &d->divergence;
    bool same_prompt = d->prompt_at == SIZE_MAX;
    size_t most = d->whole || d->answer_at == SIZE_MAX ? SIZE_MAX : d->answer_at + 1;
    for (int i = 0; i < 2; i++) {
        struct diff_side *s = &d->side[same_prompt ? 0 : i], *other = &d->side[same_prompt ? 1 : !i];
        size_t n = min_size(s->n_answer, most);
        int32_t more = n == d->answer_at ? diff_token(other, n) : -1;
        if (!(i == 1 && same_prompt) && !read_side(s, n, more, &g->side[i], err))
            return false;
    }
    if (same_prompt) {
        g->side[1] = g->side[0];
        g->side[1].source = d->side[1].choice.source;
        g->side[1].file = d->side[1].file;
        if (!recording_kv_type(&d->side[1].recording, &g->side[1].kv_type, err))
            return false;
    }
    g->same_ids = same_prompt;
    g->one_model = same_file(&g->side[0].source, &g->side[1].source) && g->side[0].kv_type == g->side[1].kv_type;
    g->probe_at = d->answer_at;
    for (int i = 0; i < 2; i++)
        g->probe[i] = d->answer_at == SIZE_MAX ? -1 : diff_token(&d->side[i], d->answer_at);
    if (!divergence_run(g, n_threads, err))
        return false;
    look_at_mixes(d, 0);
    look_at_mixes(d, 1);
    d->scored = true;
    return true;
}

/* As computed here, and as recorded: by both; where only one was, it must be what is computed here. */
static bool same_logits(const struct diff *d)
{
    const struct diff_side *a = &d->side[0], *b = &d->side[1];
    const struct divergence *g = &d->divergence;
    bool same = true;
    for (size_t i = 0; i < g->side[0].n_ids - g->side[0].from; i++)
        same = same && g->apart[i].same_logits;
    if (!a->has_mixes || !b->has_mixes)
        return same && !(a->has_mixes && a->other_logits != SIZE_MAX) && !(b->has_mixes && b->other_logits != SIZE_MAX);
    for (size_t i = 0; same && i < a->n_answer; i++) {
        uint64_t mix_a = recorded_mix(a, i), mix_b = recorded_mix(b, i);
        same = mix_a == mix_b || mix_a == 0 || mix_b == 0;
    }
    return same;
}

bool diff_same(const struct diff *d)
{
    return d->scored && d->prompt_at == SIZE_MAX && d->answer_at == SIZE_MAX && !d->end_differs && same_logits(d);
}

bool diff_summarize(const struct diff *d, struct diff_summary *out)
{
    const struct divergence *g = &d->divergence;
    *out = (struct diff_summary){ .n = g->side[0].n_ids - g->side[0].from };
    struct kld_position *positions = mem_alloc(out->n * sizeof *positions);
    if (!positions)
        return false;
    for (size_t i = 0; i < out->n; i++) {
        positions[i] = g->apart[i].k;
        out->n_same_top += g->apart[i].k.same_top;
        out->n_same_logits += g->apart[i].same_logits;
    }
    kld_summarize(positions, out->n, &out->k);
    mem_free(positions);
    return true;
}

void diff_free(struct diff *d)
{
    divergence_free(&d->divergence);
    for (int i = 0; i < 2; i++) {
        struct diff_side *s = &d->side[i];
        hearth_file_close(s->file);
        recording_free(&s->recording);
        template_choice_free(&s->template);
        buf_free(&s->text);
        mem_free(s->answer);
        mem_free(s->read);
    }
    *d = (struct diff){ 0 };
}
