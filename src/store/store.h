/* store.h: the models that are there: pulled ones, and files elsewhere that were imported. */
#pragma once
#include "store/records.h"

/* $XDG_DATA_HOME/hearth/models, or ~/.local/share/hearth/models. False: there is no home. */
bool store_usual_place(char out[TREE_PATH_BYTES]);

struct store_item {
    char name[STORE_NAME_BYTES];
    char path[TREE_PATH_BYTES + STORE_NAME_BYTES]; /* to open it by */
    struct tree_file file;  /* fd -1; bytes 0: it is not there (an imported one that went) */
    bool has_record;
    struct store_record record;
    bool as_recorded;       /* it looks as it did when its SHA-256 was taken */
};

struct store_list {
    struct store_item *item; /* [n], by name */
    int n, room;
    bool failed;
};

/* One more of that name, the rest of it zero. NULL: the list is longer than any, memory is out (list->failed), or the
 * name is too long. */
struct store_item *store_add(struct store_list *l, const char *name);
void store_sort(struct store_list *l); /* by name */

/* All .gguf files; the first parts of sets stand for themselves. HEARTH_ERR_IO, HEARTH_ERR_MEMORY. */
bool store_list(struct store_list *out, const struct tree *t, hearth_error *err);
void store_list_free(struct store_list *l);

/* The file that a text means: a reference ("hf:OWNER/REPO:Q8_0"; what was pulled before what was imported), a name of
 * the list with or without .gguf, or the last part of one. 1: its index; 0: nothing; -1: several (HEARTH_ERR_USAGE,
 * which lists them), HEARTH_ERR_MEMORY. */
int store_find(const struct store_list *l, const char *text, int *index, hearth_error *err);
