/* methods.h: the methods of values, in a file for each kind; methods.c finds them.
 *
 * What several methods share is a function with one more argument here, and METHOD() makes
 * the entries of a table from it. */
#pragma once
#include "text/jinja/ast.h"

/* `call` may use r, self, a (its arguments) and out. */
#define METHOD(name, call)                                                                                            \
    static bool name(struct run *r, struct value self, struct value *a, struct value *out)                            \
    {                                                                                                                 \
        (void)a;                                                                                                      \
        return call;                                                                                                  \
    }

struct method_table {
    const struct method_row *rows;
    size_t n;
};
struct method_table m_of_str(void);                /* methods_str.c */
struct method_table m_of_container(struct value v); /* methods_container.c: J_LIST, J_TUPLE, J_DICT, J_VIEW */

bool m_want_text(struct run *r, struct value v, const char *what);
bool m_want_int(struct run *r, struct value v, int64_t *out);

/* ---- upper and lower case, kinds of characters (methods_case.c) */
enum casing { UPPER, LOWER, TITLE, SWAP, CAPITALIZE };
bool m_change_case(struct run *r, struct value self, enum casing how, struct value *out);
bool m_one_case(struct run *r, struct value self, bool upper, struct value *out); /* isupper(), islower() */
bool m_is_title(struct run *r, struct value self, struct value *out);
typedef bool (*char_test)(uint32_t c);
bool m_every(struct run *r, struct value self, char_test test, bool if_empty, struct value *out);
bool m_is_alpha(uint32_t c);
bool m_is_decimal(uint32_t c);
bool m_is_digit(uint32_t c);
bool m_is_numeric(uint32_t c);
bool m_is_alnum(uint32_t c);
bool m_is_ascii(uint32_t c);

/* ---- searching and splitting (methods_find.c) */
bool m_find(struct run *r, struct value self, struct value *a, bool last, bool must, struct value *out);
bool m_count(struct run *r, struct value self, struct value *a, struct value *out);
bool m_affix(struct run *r, struct value self, struct value *a, bool start, struct value *out); /* startswith() */
bool m_split(struct run *r, struct value self, struct value *a, bool right, struct value *out);
bool m_split_lines(struct run *r, struct value self, struct value *a, struct value *out);
bool m_partition(struct run *r, struct value self, struct value *a, bool last, struct value *out);
