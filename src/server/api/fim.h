/* fim.h: a prompt with a gap in it: what stands before and behind it, in the order that models with tokens for that
 * were trained on (prefix, suffix, middle; "Efficient Training of Language Models to Fill in the Middle", Bavarian et
 * al. 2022), and other files before it ("Qwen2.5-Coder Technical Report", 2024: repository level). Pure. */
#pragma once
#include "base/arena.h"
#include "hearth/hearth.h"
#include "server/api/problem.h"

struct fim_file {
    hearth_text name, text;
};

struct fim {
    hearth_text prefix, prompt, suffix; /* prompt: goes on where prefix ends */
    const struct fim_file *files;       /* that the model should know, the nearest last */
    size_t n_files;
};

/* Refuses with the tokens that the file is missing. param: the field that wants them. */
bool fim_possible(const hearth_file_info *info, const char *param, struct problem *p);

/* Files are marked as such: with tokens of the model; else they come as text. */
bool fim_has_files(const hearth_file_info *info);

/*   [REPOSITORY project\n] { FILE name\n text } [FILE file\n] PREFIX prefix prompt SUFFIX suffix MIDDLE
 *
 * Spans in the arena, of the caller's texts, none of which is trusted. False: memory is out. */
bool fim_spans(struct arena *arena, const hearth_file_info *info, const struct fim *f, const hearth_span **spans,
               size_t *n_spans);
