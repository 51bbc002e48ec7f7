/* typed.h: one message or command out of one or several lines. Pure.
 *
 *   a line ending in \       goes on in the next
 *   """ ... """              what is between is the message, line by line, whatever it begins with
 *   /name ...                a command; //text is a message that begins with /text
 */
#pragma once
#include "base/buf.h"

struct typed {
    struct buf text; /* without the marks */
    bool block;      /* inside """ */
    bool literal;    /* the text is a message, even if it begins with / */
    bool begun;
    size_t n_lines;
};

void typed_clear(struct typed *in); /* keeps the memory */
void typed_free(struct typed *in);

/* Take one line, without its newline. True: that was all of it. */
bool typed_add(struct typed *in, const char *line, size_t n);

bool typed_is_command(const struct typed *in);
/* Of a message: // becomes /. */
struct str typed_message(const struct typed *in);
