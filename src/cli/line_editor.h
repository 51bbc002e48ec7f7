/* line_editor.h: lines from a person or a script.
 *
 * On a terminal (standard input and standard error both) by libedit: keys, history, completion, several lines by
 * Alt-Enter or pasting. Otherwise plain lines of standard input, without a prompt. Ctrl-C comes through
 * cli/interrupt.h, which must be set up before. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

enum { COMPLETIONS_MAX = 64 };

/* What the word that ends at the cursor may become. */
struct completion {
    size_t from;                       /* where the word begins */
    const char *words[COMPLETIONS_MAX]; /* whole words; those with another beginning are skipped */
    size_t n_words;
    bool files;                        /* it is the name of a file */
};
/* before: the line up to the cursor. out is zeroed: leave it so when there is nothing to say. */
typedef void line_complete_fn(const char *before, struct completion *out);

struct line_editor;

/* complete, history_path: NULL for none. A file that is not a history is refused, not overwritten.
 * NULL and *err. */
struct line_editor *line_editor_open(line_complete_fn *complete, const char *history_path, hearth_error *err);
void line_editor_close(struct line_editor *e); /* NULL is a no-op */

bool line_editor_on_terminal(const struct line_editor *e);

enum line_result {
    LINE_READ,
    LINE_INTERRUPTED, /* interrupt_pending() says so */
    LINE_END,         /* end of the input */
    LINE_FAILED,      /* *err says why */
};
/* The next line, without its newline, at the end of *line. prompt and prefill (text to begin with, may be NULL) are
 * for the terminal. */
enum line_result line_editor_read(struct line_editor *e, const char *prompt, const char *prefill, struct buf *line,
                                  hearth_error *err);

/* For the arrow keys, and into the file of the history. */
bool line_editor_remember(struct line_editor *e, const char *text, hearth_error *err);
