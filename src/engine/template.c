/* template.c: the chat template of a file, behind the public interface. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "engine/registry.h"

static struct chat *make(hearth_file *f, const struct tokenizer *t, hearth_error *err)
{
    if (!f->template_from[0]) {
        fail(err, HEARTH_ERR_USAGE,
             "%s has no chat template; give one (--chat-template FILE) or send the text as it stands", f->name);
        return NULL;
    }
    return chat_create(str_z(f->template_text), t, err);
}

struct chat *file_chat(hearth_file *f, hearth_error *err)
{
    struct tokenizer *t = file_tokenizer(f, err);
    if (!t)
        return NULL;
    lock_take(&f->lock);
    if (!f->chat_tried) {
        int64_t start = clock_ns();
        f->chat = make(f, t, &f->chat_error);
        f->chat_tried = f->chat || f->chat_error.status != HEARTH_ERR_MEMORY; /* else once more */
        f->template_ms = clock_ms_since(start);
    }
    lock_release(&f->lock);
    if (!f->chat && err)
        *err = f->chat_error;
    return f->chat;
}

/* ---- rendering ---- */

struct rendering {
    hearth_rendered public; /* first: the caller's handle */
    struct chat_input input;
    struct chat_prompt prompt;
    struct token_list ids;
};

static bool render(struct rendering *r, const struct chat *c, const hearth_chat *chat, hearth_error *err)
{
    hearth_rendered *p = &r->public;
    if (!chat_input_make(c, chat, &r->input, err) || !chat_render(c, &r->input, &r->prompt, err)
        || !chat_encode(c, &r->prompt, &r->ids, &p->bos_added, &p->n_specials_kept, err))
        return false;
    p->text = r->prompt.text.ptr;
    p->n_bytes = r->prompt.text.len;
    p->spans = r->prompt.spans;
    p->n_spans = r->prompt.n_spans;
    p->ids = r->ids.ids;
    p->n_ids = r->ids.n;
    p->starts_thinking = r->prompt.starts_thinking;
    p->notes = r->input.notes;
    return true;
}

hearth_rendered *hearth_file_render(hearth_file *file, const hearth_chat *chat, hearth_error *err)
{
    err_clear(err);
    struct chat *c = file_chat(file, err);
    if (!c)
        return NULL;
    struct rendering *r = mem_alloc(sizeof *r);
    if (!r) {
        fail_memory(err, "the rendered prompt");
        return NULL;
    }
    if (render(r, c, chat, err))
        return &r->public;
    hearth_rendered_free(&r->public);
    return NULL;
}

void hearth_rendered_free(hearth_rendered *rendered)
{
    struct rendering *r = (struct rendering *)rendered;
    if (!r)
        return;
    token_list_free(&r->ids);
    chat_prompt_free(&r->prompt);
    chat_input_free(&r->input);
    mem_free(r);
}

/* ---- what it can do ---- */

/* The traits' texts end nowhere; the public ones with a NUL. Made once, under the lock. False: out of memory. */
static bool text_of(hearth_file *f, struct str s, const char **out)
{
    const char *copy = s.len ? arena_strdup(&f->arena, s).ptr : "";
    *out = copy ? copy : "";
    return copy != NULL;
}

static bool describe(hearth_file *f, const struct chat *c, hearth_template_info *info)
{
    const struct chat_traits *t = chat_traits(c);
    info->sha256 = chat_sha256(c);
    info->problem = t->problem;
    info->system = t->system == FATE_KEPT;
    info->developer = t->developer == FATE_KEPT;
    info->tools = t->tools == FATE_KEPT;
    info->tool_calls = t->tool_calls == FATE_KEPT;
    info->tool_results = t->tool_results == FATE_KEPT;
    info->parts = t->parts || t->needs_parts;
    info->thinking_history = t->thinking == FATE_KEPT;
    info->uses_date = t->uses_date;
    info->thinking_switch = t->thinking_switch ? t->thinking_switch : "";
    return text_of(f, t->marks.open, &info->thinking_open) && text_of(f, t->marks.close, &info->thinking_close)
           && text_of(f, t->answer_end, &info->answer_end);
}

bool hearth_file_template(hearth_file *f, hearth_template_info *info)
{
    hearth_error err = { 0 };
    *info = (hearth_template_info){ .from = f->template_from, .sha256 = "", .problem = "", .thinking_switch = "",
                                    .thinking_open = "", .thinking_close = "", .answer_end = "" };
    if (!f->template_from[0])
        return false;
    struct chat *c = file_chat(f, &err);
    lock_take(&f->lock);
    if (!f->template_info.from) {
        hearth_template_info made = *info;
        if (!c)
            made.problem = f->chat_error.message[0] ? f->chat_error.message : f->tokenizer_error.message;
        bool lost = c ? !describe(f, c, &made) : err.status == HEARTH_ERR_MEMORY;
        if (c && lost)
            made.problem = "out of memory: not all that the template can do is known; close other programs";
        if (!lost) /* else once more, when somebody asks again */
            f->template_info = made;
        *info = made;
    } else {
        *info = f->template_info;
    }
    lock_release(&f->lock);
    return true;
}

size_t hearth_file_template_findings(hearth_file *f, const hearth_finding **findings)
{
    hearth_error err = { 0 };
    hearth_template_info info;
    if (!hearth_file_template(f, &info)) {
        *findings = NULL;
        return 0;
    }
    struct chat *c = file_chat(f, &err);
    if (!c && err.status == HEARTH_ERR_MEMORY)
        return chat_lint_no_memory(findings);
    lock_take(&f->lock);
    if (!f->findings && !c) {
        f->broken = (hearth_finding){ HEARTH_FINDING_PROBLEM, "does-not-compile", info.problem };
        f->findings = &f->broken;
        f->n_findings = 1;
    }
    size_t n = f->n_findings;
    *findings = f->findings;
    if (!f->findings)
        n = chat_lint(c, &f->arena, findings);
    if (strcmp(n > 0 ? findings[0]->code : "", CHAT_LINT_NO_MEMORY) != 0) { /* else once more, as above */
        f->findings = *findings;
        f->n_findings = n;
    }
    lock_release(&f->lock);
    return n;
}
