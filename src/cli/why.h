/* why.h: what `hearth why` says, as text. */
#pragma once
#include "cli/replay.h"
#include "record/explain.h"

enum { WHY_MOST_TOKENS = 50 }; /* alternatives */

/* What an answer's receipt says: verdict, time as a bar, memory of the context, what was known of the prompt. file: of
 * its model; NULL where no tokens were recorded. */
void why_print_receipt(const struct recording *r, hearth_file *file);
/* The prompt as the model read it, special tokens between brackets of their own. */
void why_print_prompt(const struct recording *r, hearth_file *file);
/* A row of the table of tokens. */
void why_print_head(void);
void why_print_row(hearth_file *file, size_t index, const hearth_choice *c, bool end);
/* All of one choice: tokens by steps. */
void why_print_choice(hearth_file *file, size_t index, const hearth_choice *c, bool end);
