/* store_choice.h: which folder has the models that were pulled. */
#pragma once
#include "cli/opts.h"
#include "store/store.h"

#define OPT_STORE_DIR_ROW                                                                                     \
    {                                                                                                         \
        .name = "store-dir", .type = OPT_TEXT, .value = "DIR", .dflt = "$XDG_DATA_HOME/hearth/models",        \
        .help = "the folder of pulled models; HEARTH_STORE_DIR, or store-dir at the top of the settings, says " \
                "it to every command"                                                                         \
    }

/* For commands without the row: what the settings say at their top (NULL: nothing), which file they are ("": none), and
 * whether whoever is at the terminal may be offered a pull. Both texts must live until the command ends. */
void store_choice_keep(const char *folder, const char *config, bool may_offer);
/* flag: the value of the row; NULL: the command has none, and the environment and the settings are asked.
 * HEARTH_ERR_USAGE: there is no home to have one in. */
bool store_choose(char out[TREE_PATH_BYTES], const struct opt_value *flag, hearth_error *err);

/* What the store knows of a file: the SHA-256 that its part (from 0; of a set path is the first) must have. False: it
 * is none of the store, or its digest is not known. */
bool store_sha256_of(const char *path, int part, char out[65]);

/* A MODEL that is no path: a name of the store, "hf:...", "ollama:...", an address. On a terminal a reference whose
 * model is not there is offered to be fetched. 1: its path, into out; 0: it is neither, so it is a path; -1: *err has
 * what is wrong, or how to get it. */
enum { STORE_FILE_BYTES = TREE_PATH_BYTES + STORE_NAME_BYTES };
int store_path_of(const char *text, char out[STORE_FILE_BYTES], hearth_error *err);
