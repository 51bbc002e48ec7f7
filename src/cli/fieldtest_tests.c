/* fieldtest_tests.c: what of the 50 is equal; tokens and rendered templates, which must be. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/fieldtest.h"
#include "cli/interrupt.h"
#include "cli/text_ids.h"
#include "server/api/messages.h"

const char *const fieldtest_kind_names[FIELDTEST_N_KINDS] = { "tokens", "templates", "log-probabilities", "vectors" };
const char *const fieldtest_kind_keys[FIELDTEST_N_KINDS] = { "tokens", "templates", "log_probabilities", "vectors" };
const char *const fieldtest_verdict_names[] = { "passed", "failed", "incomplete" };

enum { MOST_TEXT = 200, MOST_VALUE = 400, MOST_FAILED = 3, AROUND = 60 };

/* ---- what came out ---- */

void fieldtest_show(const struct fieldtest *t, enum fieldtest_kind kind, int i)
{
    if (t->terminal)
        fprintf(stderr, "\r%s: %d of %d\x1b[K", fieldtest_kind_names[kind], i + 1, FIELDTEST_N);
    if (t->terminal && i + 1 == FIELDTEST_N)
        fputs("\r\x1b[K", stderr);
}

void fieldtest_equal(struct fieldtest *t, enum fieldtest_kind kind)
{
    t->kind[kind].n++;
    t->kind[kind].n_equal++;
    t->kind[kind].n_failed = 0;
}

/* Kept as it is shown. */
static const char *keep(struct fieldtest *t, struct str text, size_t most)
{
    struct buf visible = { 0 };
    fieldtest_put_visible(&visible, text, most);
    const char *kept = visible.failed ? NULL : arena_strdup(&t->arena, buf_str(&visible)).ptr;
    t->out_of_memory |= !kept;
    buf_free(&visible);
    return kept ? kept : "";
}

void fieldtest_different(struct fieldtest *t, enum fieldtest_kind kind, int i, struct str text, struct str here,
                         struct str there)
{
    struct fieldtest_result *r = &t->kind[kind];
    r->n++;
    r->n_different++;
    r->n_failed = 0;
    if (r->n_shown < FIELDTEST_SHOWN)
        r->shown[r->n_shown++] = (struct fieldtest_difference){ i + 1, keep(t, text, MOST_TEXT),
                                                                keep(t, here, MOST_VALUE), keep(t, there, MOST_VALUE) };
}

bool fieldtest_untested(struct fieldtest *t, enum fieldtest_kind kind, hearth_error *err)
{
    struct fieldtest_result *r = &t->kind[kind];
    if (err->status == HEARTH_ERR_MEMORY || err->status == HEARTH_ERR_CANCELLED)
        return false;
    r->n++;
    r->n_untested++;
    r->n_failed++;
    if (!r->untested[0])
        snprintf(r->untested, sizeof r->untested, "%s", err->message);
    err_clear(err);
    return true;
}

bool fieldtest_gives_up(struct fieldtest *t, enum fieldtest_kind kind, int i, int n)
{
    struct fieldtest_result *r = &t->kind[kind];
    if (r->n_failed < MOST_FAILED)
        return false;
    r->n += n - i;
    r->n_untested += n - i;
    if (t->terminal)
        fputs("\r\x1b[K", stderr);
    return true;
}

enum fieldtest_verdict fieldtest_kind_verdict(const struct fieldtest_result *r)
{
    if (r->n_different > 0 || r->beyond[0])
        return FIELDTEST_FAILED;
    return r->n_equal > 0 && r->n_equal == r->n ? FIELDTEST_PASSED : FIELDTEST_INCOMPLETE;
}

enum fieldtest_verdict fieldtest_verdict(const struct fieldtest *t)
{
    bool computed = !t->kind[FIELDTEST_LOGPROBS].nothing || !t->kind[FIELDTEST_VECTORS].nothing;
    enum fieldtest_verdict all = computed ? FIELDTEST_PASSED : FIELDTEST_INCOMPLETE;
    for (int i = 0; i < FIELDTEST_N_KINDS; i++) {
        enum fieldtest_verdict one = fieldtest_kind_verdict(&t->kind[i]);
        if (t->kind[i].nothing || one == FIELDTEST_PASSED)
            continue;
        all = one == FIELDTEST_FAILED || all == FIELDTEST_FAILED ? FIELDTEST_FAILED : FIELDTEST_INCOMPLETE;
    }
    return all;
}

/* ---- tokens ---- */

struct ids {
    int32_t *ids;
    size_t n;
};

static void put_ids(struct fieldtest *t, struct buf *out, const struct ids *list, size_t at)
{
    size_t from = at > 2 ? at - 2 : 0;
    buf_printf(out, "%zu tokens%s", list->n, from > 0 ? ", ..." : ",");
    for (size_t i = from; i < list->n && i < at + 6; i++) {
        size_t n = 0;
        const char *text = hearth_file_token_text(t->file, list->ids[i], &n);
        buf_printf(out, " %d(", list->ids[i]);
        buf_put(out, text ? text : "", text ? n : 0);
        buf_puts(out, ")");
    }
    buf_puts(out, at + 6 < list->n ? " ..." : "");
}

/* The first token that differs; -1: none. *ends_more: the peer has the file's end token besides, which hearth adds to
 * what becomes a vector. */
static int64_t first_difference(const struct fieldtest *t, const struct ids *here, const struct ids *there,
                                bool *ends_more)
{
    size_t n = min_size(here->n, there->n);
    for (size_t i = 0; i < n; i++)
        if (here->ids[i] != there->ids[i])
            return (int64_t)i;
    *ends_more = there->n == n + 1 && here->n == n && there->ids[n] == t->info.eos_id
              && !t->kind[FIELDTEST_VECTORS].nothing;
    return here->n == there->n || *ends_more ? -1 : (int64_t)n;
}

/* What the peer makes of a text. */
static bool ask_ids(struct fieldtest *t, struct str text, bool begin, bool special, struct ids *out, hearth_error *err)
{
    struct json_body answer;
    int status;
    json_t *body = json_pack("{s:o, s:b, s:b}", "content", json_stringn(text.ptr, text.len), "add_special", begin,
                             "parse_special", special);
    *out = (struct ids){ 0 };
    bool ok = fieldtest_post(&t->peer, "/tokenize", body, &answer, &status, err)
           && fieldtest_read_tokens(answer.json, t->info.n_vocab, &out->ids, &out->n, err);
    json_body_free(&answer);
    return ok;
}

static bool same_ids(struct fieldtest *t, enum fieldtest_kind kind, int i, struct str text, const struct ids *here,
                     const struct ids *there)
{
    bool ends_more = false;
    int64_t at = first_difference(t, here, there, &ends_more);
    if (at < 0) {
        t->kind[kind].n_noted += ends_more;
        if (ends_more)
            t->kind[kind].note = "end with the file's end token there, which hearth adds to what becomes a vector";
        return true;
    }
    struct buf a = { 0 }, b = { 0 };
    put_ids(t, &a, here, (size_t)at);
    put_ids(t, &b, there, (size_t)at);
    t->out_of_memory |= a.failed || b.failed;
    fieldtest_different(t, kind, i, text, buf_str(&a), buf_str(&b));
    buf_free(&a);
    buf_free(&b);
    return false;
}

/* As it stands, and with what the file puts before it. */
static bool one_text(struct fieldtest *t, int i, hearth_error *err)
{
    struct str text = fieldtest_texts[i];
    bool same = true, ok = true;
    for (int begin = 0; ok && same && begin < 2; begin++) {
        struct ids here = { 0 }, there = { 0 };
        ok = text_ids(t->file, text.ptr, text.len, false, begin, &here.ids, &here.n, err)
          && ask_ids(t, text, begin, false, &there, err);
        same = ok && same_ids(t, FIELDTEST_TOKENS, i, text, &here, &there);
        mem_free(here.ids);
        mem_free(there.ids);
    }
    if (same)
        fieldtest_equal(t, FIELDTEST_TOKENS);
    return ok || fieldtest_untested(t, FIELDTEST_TOKENS, err);
}

bool fieldtest_tokens(struct fieldtest *t, hearth_error *err)
{
    for (int i = 0; i < FIELDTEST_N; i++) {
        if (fieldtest_gives_up(t, FIELDTEST_TOKENS, i, FIELDTEST_N))
            break;
        fieldtest_show(t, FIELDTEST_TOKENS, i);
        if (!one_text(t, i, err))
            return false;
    }
    return true;
}

/* ---- templates ---- */

struct rendering {
    int i;
    json_t *chat;             /* the request */
    struct buf text;          /* the same, for people */
    hearth_rendered *here;    /* NULL: hearth refuses it */
    hearth_error why;
};

static int put_piece(const char *bytes, size_t n, void *out)
{
    buf_put(out, bytes, n);
    return 0;
}

static bool render(struct fieldtest *t, struct rendering *r, hearth_error *err)
{
    struct chat_json c = { 0 };
    bool ok = r->chat && json_dump_callback(r->chat, put_piece, &r->text, JSON_COMPACT) == 0 && !r->text.failed;
    if (!ok)
        return fail_memory(err, "the conversations");
    if (chat_from_json(&c, r->chat, NULL, NULL, &r->why))
        r->here = hearth_file_render(t->file, &c.chat, &r->why);
    chat_json_free(&c);
    if (r->here || r->why.status != HEARTH_ERR_MEMORY)
        return true;
    *err = r->why;
    return false;
}

static void differ(struct fieldtest *t, const struct rendering *r, struct str here, struct str there)
{
    size_t n = min_size(here.len, there.len), at = 0;
    while (at < n && here.ptr[at] == there.ptr[at])
        at++;
    size_t from = at > AROUND ? at - AROUND : 0;
    struct buf a = { 0 }, b = { 0 };
    buf_printf(&a, "%zu bytes, from byte %zu on: ", here.len, from);
    buf_put(&a, here.ptr + from, here.len - from);
    buf_printf(&b, "%zu bytes, from byte %zu on: ", there.len, from);
    buf_put(&b, there.ptr + from, there.len - from);
    t->out_of_memory |= a.failed || b.failed;
    fieldtest_different(t, FIELDTEST_TEMPLATES, r->i, buf_str(&r->text), buf_str(&a), buf_str(&b));
    buf_free(&a);
    buf_free(&b);
}

static struct str bos_text(const struct fieldtest *t)
{
    size_t n = 0;
    const char *bos = t->info.bos_id >= 0 ? hearth_file_token_text(t->file, t->info.bos_id, &n) : NULL;
    return (struct str){ bos ? bos : "", bos ? n : 0 };
}

static bool begins_with_bos(const struct fieldtest *t, struct str text)
{
    struct str bos = bos_text(t);
    return bos.len > 0 && str_starts(text, bos);
}

/* The peer leaves out a BOS that the template writes, where the file asks for one: it adds it as a token. */
static bool lacks_bos_alone(const struct fieldtest *t, struct str here, struct str there)
{
    struct str bos = bos_text(t);
    return begins_with_bos(t, here) && here.len == there.len + bos.len
        && memcmp(here.ptr + bos.len, there.ptr, there.len) == 0;
}

/* The text is the same; is it in tokens? A message may have the text of a special token, which is none here. A BOS that
 * stands in the text comes once. */
static bool compare_in_tokens(struct fieldtest *t, const struct rendering *r, struct str there, hearth_error *err)
{
    struct ids ours = { (int32_t *)(uintptr_t)r->here->ids, r->here->n_ids }, theirs = { 0 };
    bool only_text = r->here->n_specials_kept > 0;
    bool ok = only_text || ask_ids(t, there, !begins_with_bos(t, there), true, &theirs, err);
    bool same = ok && (only_text || same_ids(t, FIELDTEST_TEMPLATES, r->i, buf_str(&r->text), &ours, &theirs));
    mem_free(theirs.ids);
    if (same)
        fieldtest_equal(t, FIELDTEST_TEMPLATES);
    return ok || fieldtest_untested(t, FIELDTEST_TEMPLATES, err);
}

static bool compare_rendered(struct fieldtest *t, const struct rendering *r, struct str there, hearth_error *err)
{
    struct fieldtest_result *result = &t->kind[FIELDTEST_TEMPLATES];
    struct str here = { r->here->text, r->here->n_bytes };
    bool lacks_bos = lacks_bos_alone(t, here, there);
    if (!lacks_bos && !str_eq(here, there)) {
        differ(t, r, here, there);
        return true;
    }
    int n_equal = result->n_equal;
    bool ok = compare_in_tokens(t, r, there, err);
    if (lacks_bos && result->n_equal > n_equal) {
        result->n_noted++;
        result->note = "begin with BOS in the text here, and there with the same as a token alone";
    }
    return ok;
}

/* One side or both refuse the conversation. Where both do there is nothing to compare. */
static bool compare_refused(struct fieldtest *t, const struct rendering *r, bool answered, struct str there,
                            int status, hearth_error *err)
{
    if (answered) {
        differ(t, r, str_z(r->why.message), there);
        return true;
    }
    if (status < 400 || status == 404 || err->status == HEARTH_ERR_CANCELLED)
        return fieldtest_untested(t, FIELDTEST_TEMPLATES, err);
    err_clear(err);
    return true;
}

static bool one_chat(struct fieldtest *t, struct rendering *r, hearth_error *err)
{
    struct json_body answer = { 0 };
    struct str there = { 0 };
    int status = 0;
    if (!render(t, r, err))
        return false;
    bool answered = fieldtest_post(&t->peer, "/apply-template", json_incref(r->chat), &answer, &status, err)
                 && fieldtest_read_prompt(answer.json, &there, err);
    struct buf copy = { 0 }; /* the answer goes before the next one is read */
    buf_put(&copy, there.ptr, there.len);
    json_body_free(&answer);
    bool ok = !copy.failed || fail_memory(err, "the conversations");
    if (ok && !r->here)
        ok = compare_refused(t, r, answered, buf_str(&copy), status, err);
    else if (ok && answered)
        ok = compare_rendered(t, r, buf_str(&copy), err);
    else
        ok = fieldtest_untested(t, FIELDTEST_TEMPLATES, err);
    buf_free(&copy);
    return ok;
}

bool fieldtest_templates(struct fieldtest *t, hearth_error *err)
{
    hearth_template_info info;
    if (!hearth_file_template(t->file, &info)) {
        t->kind[FIELDTEST_TEMPLATES].nothing = "the file has no chat template";
        return true;
    }
    for (int i = 0; i < FIELDTEST_N; i++) {
        if (fieldtest_gives_up(t, FIELDTEST_TEMPLATES, i, FIELDTEST_N))
            break;
        fieldtest_show(t, FIELDTEST_TEMPLATES, i);
        struct rendering r = { .i = i, .chat = fieldtest_chat(i, &info) };
        bool ok = one_chat(t, &r, err);
        hearth_rendered_free(r.here);
        buf_free(&r.text);
        json_decref(r.chat);
        if (!ok)
            return false;
    }
    if (t->kind[FIELDTEST_TEMPLATES].n == 0)
        snprintf(t->kind[FIELDTEST_TEMPLATES].untested, FIELDTEST_WHY_BYTES, "both sides refuse every conversation");
    return true;
}
