/* infill.c: POST /infill, llama.cpp's: what goes between two texts. */
#include <string.h>

#include "server/api/endpoints.h"
#include "server/api/fim.h"

enum { MAX_FILES = 256 };

/* A text of an object in input_extra; none: what is there already stays. */
static bool read_file_text(struct ask *a, const json_t *file, const char *key, size_t i, hearth_text *out,
                           struct problem *p)
{
    const json_t *j = json_object_get(file, key);
    if (!j || json_is_null(j))
        return true;
    if (!json_is_string(j))
        return refuse(p, PROBLEM_invalid_type, "input_extra", "input_extra[%zu].%s is no text", i, key);
    return ask_copy_text(a, j, out, p);
}

static bool read_files(struct ask *a, const json_t *list, struct fim *f, struct problem *p)
{
    size_t n = json_array_size(list);
    struct fim_file *files = arena_array(&a->arena, struct fim_file, n);
    if (n > MAX_FILES)
        return refuse(p, PROBLEM_invalid_value, "input_extra", "input_extra has %zu files; at most %d are taken", n,
                      MAX_FILES);
    if (!files)
        return ask_no_memory(p);
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(list, i);
        files[i].name = (hearth_text){ "file", 4 };
        if (!json_is_object(one))
            return refuse(p, PROBLEM_invalid_type, "input_extra", "input_extra[%zu] is no object; give "
                          "{\"filename\": ..., \"text\": ...}", i);
        if (!read_file_text(a, one, "filename", i, &files[i].name, p)
            || !read_file_text(a, one, "text", i, &files[i].text, p))
            return false;
        if (!files[i].text.text)
            return refuse(p, PROBLEM_missing_field, "input_extra", "input_extra[%zu] has no text", i);
    }
    f->files = files;
    f->n_files = n;
    return true;
}

static bool read_gap(struct ask *a, const struct fields *f, struct fim *fim, struct problem *p)
{
    static const enum field needed[] = { F_input_prefix, F_input_suffix };
    for (size_t i = 0; i < ARRAY_LEN(needed); i++)
        if (!f->value[needed[i]])
            return refuse(p, PROBLEM_missing_field, field_table[needed[i]].name, "there is no %s; give the text %s the "
                          "gap", field_table[needed[i]].name, i == 0 ? "before" : "behind");
    if (f->value[F_prompt] && !json_is_string(f->value[F_prompt]))
        return field_wrong_type(p, "prompt", f->value[F_prompt], "a text");
    return ask_read_text(a, f, F_input_prefix, &fim->prefix, p) && ask_read_text(a, f, F_input_suffix, &fim->suffix, p)
        && ask_read_text(a, f, F_prompt, &fim->prompt, p) && read_files(a, f->value[F_input_extra], fim, p);
}

static bool read(struct ask *a, const struct fields *f, const struct view *v, struct problem *p)
{
    struct fim fim = { 0 };
    a->op = OP_GENERATE;
    if (!ask_read_common(a, f, v, p) || !read_gap(a, f, &fim, p) || !fim_possible(&v->info, "input_suffix", p))
        return false;
    if (fim.n_files > 0 && !fim_has_files(&v->info))
        notes_adjusted(&a->notes, "input_extra comes as text: this model has no token for files");
    a->prompts = arena_array(&a->arena, struct ask_prompt, 1);
    if (!a->prompts || !fim_spans(&a->arena, &v->info, &fim, &a->prompts->spans, &a->prompts->n_spans))
        return ask_no_memory(p);
    a->n_prompts = 1;
    return true;
}

const struct endpoint endpoint_infill = { .on = ON_INFILL, .read = read, .dialect = &native_dialect };
