#include "server/api/fim.h"

#include <stdio.h>
#include <string.h>

bool fim_possible(const hearth_file_info *info, const char *param, struct problem *p)
{
    static const char *const keys[] = { "fim_pre_token_id", "fim_suf_token_id", "fim_mid_token_id" };
    char missing[200] = "";
    for (int i = HEARTH_FIM_PREFIX; i <= HEARTH_FIM_MIDDLE; i++)
        if (info->fim_id[i] < 0)
            snprintf(missing + strlen(missing), sizeof missing - strlen(missing), "%s%s (tokenizer.ggml.%s)",
                     missing[0] ? ", " : "", hearth_fim_name((hearth_fim)i), keys[i]);
    if (!missing[0])
        return true;
    return refuse(p, PROBLEM_not_supported, param, "this model's file is missing what fills in a gap: %s; use a model "
                  "for code that has these tokens", missing);
}

bool fim_has_files(const hearth_file_info *info) { return info->fim_id[HEARTH_FIM_FILE] >= 0; }

/* ---- spans ---- */

struct list {
    hearth_span *span;
    size_t n;
};

static void add_token(struct list *l, const hearth_file_info *info, hearth_fim which)
{
    if (info->fim_id[which] >= 0)
        l->span[l->n++] = (hearth_span){ .is_token = true, .token = info->fim_id[which] };
}

static void add_text(struct list *l, const char *text, size_t n)
{
    if (n > 0)
        l->span[l->n++] = (hearth_span){ .text = text, .n_bytes = n };
}

static void add_word(struct list *l, const char *word) { add_text(l, word, strlen(word)); }

static void add_files(struct list *l, const hearth_file_info *info, const struct fim *f)
{
    bool marked = fim_has_files(info);
    if (marked && info->fim_id[HEARTH_FIM_REPOSITORY] >= 0) {
        add_token(l, info, HEARTH_FIM_REPOSITORY);
        add_word(l, "project\n");
    }
    for (size_t i = 0; i < f->n_files; i++) {
        const struct fim_file *file = &f->files[i];
        if (marked)
            add_token(l, info, HEARTH_FIM_FILE);
        else
            add_word(l, "--- ");
        add_text(l, file->name.text, file->name.n_bytes);
        add_word(l, marked ? "\n" : " ---\n");
        add_text(l, file->text.text, file->text.n_bytes);
        add_word(l, "\n");
    }
    if (marked) {
        add_token(l, info, HEARTH_FIM_FILE);
        add_word(l, "file\n");
    }
}

bool fim_spans(struct arena *arena, const hearth_file_info *info, const struct fim *f, const hearth_span **spans,
               size_t *n_spans)
{
    enum { OF_A_FILE = 5, OF_THE_REST = 10 };
    struct list l = { arena_array(arena, hearth_span, f->n_files * OF_A_FILE + OF_THE_REST), 0 };
    if (!l.span)
        return false;
    if (f->n_files > 0)
        add_files(&l, info, f);
    add_token(&l, info, HEARTH_FIM_PREFIX);
    add_text(&l, f->prefix.text, f->prefix.n_bytes);
    add_text(&l, f->prompt.text, f->prompt.n_bytes);
    add_token(&l, info, HEARTH_FIM_SUFFIX);
    add_text(&l, f->suffix.text, f->suffix.n_bytes);
    add_token(&l, info, HEARTH_FIM_MIDDLE);
    *spans = l.span;
    *n_spans = l.n;
    return true;
}
