/* filters.h: the filters of sequences (sequences.c), for the table in filters.c. */
#pragma once
#include "text/jinja/ast.h"

bool f_batch(struct run *r, struct value *a, struct value *out);
bool f_dictsort(struct run *r, struct value *a, struct value *out);
bool f_first(struct run *r, struct value *a, struct value *out);
bool f_groupby(struct run *r, struct value *a, struct value *out);
bool f_items(struct run *r, struct value *a, struct value *out);
bool f_join(struct run *r, struct value *a, struct value *out);
bool f_last(struct run *r, struct value *a, struct value *out);
bool f_list(struct run *r, struct value *a, struct value *out);
bool f_max(struct run *r, struct value *a, struct value *out);
bool f_min(struct run *r, struct value *a, struct value *out);
bool f_reverse(struct run *r, struct value *a, struct value *out);
bool f_slice(struct run *r, struct value *a, struct value *out);
bool f_sort(struct run *r, struct value *a, struct value *out);
bool f_sum(struct run *r, struct value *a, struct value *out);
bool f_unique(struct run *r, struct value *a, struct value *out);
/* Their arguments are those of another filter or test. */
bool f_map(struct run *r, struct value v, const struct args *args, struct value *out);
bool f_reject(struct run *r, struct value v, const struct args *args, struct value *out);
bool f_rejectattr(struct run *r, struct value v, const struct args *args, struct value *out);
bool f_select(struct run *r, struct value v, const struct args *args, struct value *out);
bool f_selectattr(struct run *r, struct value v, const struct args *args, struct value *out);
