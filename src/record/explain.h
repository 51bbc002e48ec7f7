/* explain.h: what a receipt and a token's choice mean: where the time went, why a prompt was not known, which step
 * removed what. As JSON it is the same for `hearth why` and for the server. */
#pragma once
#include <jansson.h>

#include "base/buf.h"
#include "hearth/hearth.h"

/* ---- time ---- */

/* The time of an answer from submit to end, in parts that do not overlap, in their order. */
enum explain_part {
#define TIME_PART(name, letter, what) EXPLAIN_##name,
#include "record/time_parts.def"
    EXPLAIN_N_PARTS
};
struct explained_time {
    double ms[EXPLAIN_N_PARTS];
    double total_ms;
};
const char *explain_part_name(enum explain_part part); /* "queue" */
char explain_part_letter(enum explain_part part);      /* as in the bar */
/* receipt: of receipt_to_json(), or a recorded one; what it lacks counts as 0. */
void explain_time(struct explained_time *t, const json_t *receipt);
/* One letter for each share of the time, width of them: "ppppppdddddddddddds". A part that took any time and more than
 * a half of a share has at least one. */
void explain_bar(const struct explained_time *t, int width, char *out /* [width + 1] */);
/* Sentences, each with a newline, on what kept it from computing when that mattered: a quota, others, a slow reader,
 * the disk. Nothing: nothing did. */
void explain_trouble(const json_t *receipt, struct buf *out);

/* ---- the prompt ---- */

/* Why keys and values of the prompt were not there from some token on, what that cost, and what is likely the cause:
 * one or a few sentences. file and ids (NULL, 0: not known) give the texts. */
void explain_prefix(const json_t *receipt, hearth_file *file, const int32_t *ids, size_t n_ids, struct buf *out);

/* ---- tokens ---- */

/* Text in quotes, with \n, \t, \" and \xhh for what would not print. */
void explain_quoted(const char *text, size_t n, struct buf *out);
/* That of a token, and its id: '" the" (279)'. */
void explain_token(hearth_file *file, int32_t id, struct buf *out);
/* Its text for JSON: with U+FFFD for bytes that are no whole character. NULL: out of memory. */
json_t *explain_token_text(hearth_file *file, int32_t id);

/* The whole of it: {exact, time, trouble, prefix, prompt, tokens, end, hearth}; docs/receipt.md. exact, tokens and end
 * are taken; NULL ones fail. ids NULL: no tokens were recorded, and prompt is null. NULL: out of memory. */
json_t *explain_answer(json_t *receipt, hearth_file *file, const int32_t *ids, size_t n_ids, json_t *exact,
                       json_t *tokens, json_t *end);

/* {index, id, text, logprob, final_logprob, rank, draw, entropy_bits, final_entropy_bits, n_final_candidates,
 * alternatives: [{id, text, logprob, final_logprob, removed_by}], steps: [{name, n_candidates, n_removed, temperature,
 * entropy_bits, logprobs}]}; docs/receipt.md. index: in the answer. steps: whether with them. NULL: out of memory. */
json_t *explain_choice(hearth_file *file, size_t index, const hearth_choice *c, bool steps);
/* The place of the token that came among those that are followed. */
int explain_chosen(const hearth_choice *c);
/* The step that removed token i of those that are followed; NULL: it is left. */
const hearth_choice_step *explain_removal(const hearth_choice *c, int i);
