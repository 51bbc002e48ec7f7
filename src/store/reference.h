/* reference.h: what a model elsewhere is called, and what it is called in the store. Pure.
 *
 *   hf:OWNER/REPO[:WHICH]          a repository of Hugging Face; WHICH: a quantization (Q4_K_M), or a file of it
 *   ollama:[USER/]NAME[:TAG]       a model of Ollama's registry
 *   https://HOST[:PORT]/.../F.gguf a file; http only from this machine
 *
 * A part has 1 to 80 bytes of letters, digits and "._-" (in an address also "+=@,~"), and no dot in front. */
#pragma once
#include "base/base.h"
#include "base/err.h"

enum { REFERENCE_PART_BYTES = 80, REFERENCE_BYTES = 2048, STORE_NAME_BYTES = 600 };

enum reference_kind { REFERENCE_HF, REFERENCE_OLLAMA, REFERENCE_URL };

struct reference {
    enum reference_kind kind;
    char owner[REFERENCE_PART_BYTES + 1]; /* of a repository; of Ollama: the user, "library" when none is given */
    char name[REFERENCE_PART_BYTES + 1];  /* the repository; the model */
    char which[REFERENCE_PART_BYTES + 1]; /* "": not said; the tag, "latest" when none is given */
    char url[REFERENCE_BYTES];            /* REFERENCE_URL */
    char text[REFERENCE_BYTES];           /* as it is to be written */
};

/* It begins as one: "hf:", "ollama:", "https://" or "http://". */
bool reference_is_one(const char *text);
/* HEARTH_ERR_USAGE: what is wrong with it, and how one is written. */
bool reference_read(struct reference *out, const char *text, hearth_error *err);

/* The folder of the store with its files, "hf/OWNER/REPO"; of Ollama and of an address the file itself,
 * "ollama/NAME/TAG.gguf", "url/HOST/.../F.gguf". */
void reference_store_name(const struct reference *r, char out[STORE_NAME_BYTES]);

/* Of a split set the first part ("...-00001-of-00003.gguf"), or none of a set, by the name. */
bool reference_is_first(const char *name);

/* Which of several files is meant: of names with '/' between their parts, those of one set (F-00001-of-00003.gguf)
 * together. What is no model by its name (mmproj, imatrix, not .gguf) is left out, unless it is named. */
enum { REFERENCE_MOST_FILES = 512 };
struct choice {
    int index[REFERENCE_MOST_FILES]; /* [n] of the names, in the order of their parts */
    int n;
};
/* which "": Q4_K_M, else the only one. from: "hf:OWNER/REPO", for the error, which lists what there is.
 * HEARTH_ERR_USAGE: none or several go with it; HEARTH_ERR_FORMAT: a part of the set is missing. */
bool reference_choose(struct choice *out, const char *which, const char *from, const char *const *names, int n_names,
                      hearth_error *err);
