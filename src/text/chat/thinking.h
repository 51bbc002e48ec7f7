/* thinking.h: telling what a model thinks from what it answers, while the text comes. */
#pragma once
#include "base/base.h"

enum { MARK_MAX_BYTES = 96 };

/* The template's marks; open and close empty: it has none, and all text is the answer. */
struct thinking_marks {
    struct str open, close;
    struct str answer; /* may stand before an answer without thinking; may be empty */
};

/* The row of thinking.def that a template's source speaks of. All empty: none. */
struct thinking_marks thinking_marks_in(struct str source);

enum splitter_state {
    SPLIT_BEGIN,    /* nothing but white space yet: an opening mark may come */
    SPLIT_THINKING,
    SPLIT_ANSWER,   /* to the end: a mark that comes later is text */
};

/* One answer on its way. Text that may become a mark is held back. */
struct splitter {
    struct thinking_marks marks;
    enum splitter_state state;
    bool skip_space; /* white space next to a mark belongs to it */
    uint8_t n_held;
    char held[MARK_MAX_BYTES];
    bool hidden[MARK_MAX_BYTES]; /* of each held byte: text of a special token, shown to nobody */
};

/* Where text goes. Room for what is pushed and MARK_MAX_BYTES more in both. */
struct split_text {
    char *thinking, *answer;
    size_t n_thinking, n_answer;
};

/* in_thinking: the prompt ended inside thinking text. */
void splitter_init(struct splitter *s, const struct thinking_marks *marks, bool in_thinking);
/* hidden: this is the text of a special token, which counts only as part of a mark. */
void splitter_push(struct splitter *s, struct str text, bool hidden, struct split_text *out);
void splitter_finish(struct splitter *s, struct split_text *out); /* what was held back */
