/* caches.h: model files that other programs have fetched, where those keep them. Nothing of theirs is changed.
 *
 *   Ollama         manifests/HOST/USER/NAME/TAG (JSON) names blobs/sha256-DIGEST
 *   LM Studio      PUBLISHER/REPO/FILE.gguf
 *   Hugging Face   models--OWNER--REPO/snapshots/REVISION/FILE.gguf, a link to blobs/DIGEST
 *   llama.cpp      FILE.gguf
 *
 * Their names and what they say of their files are held to the rules of the store's own (tree.h, hub.h): links lead
 * to files of the same cache, or are left out. */
#pragma once
#include "store/store.h"

enum { CACHES_MOST_PLACES = 12 };

/* A folder that was looked through. */
struct cache_place {
    const char *kind;   /* "Ollama" */
    char path[TREE_PATH_BYTES];
    bool is_there;
    int n_found;
    int n_left_out;     /* .gguf files and manifests that are no model files, or whose links lead elsewhere */
    int n_older;        /* files of which a newer version is in the list */
    char problem[300];  /* why it could not be looked through; "" */
};

struct cache_report {
    struct cache_place place[CACHES_MOST_PLACES];
    int n;
};

/* The GGUF files of all caches of this user, sorted by the names that they would have in the store:
 * "import/ollama/NAME/TAG.gguf", "import/hf/OWNER/REPO/FILE.gguf", "import/lmstudio/...", "import/llama.cpp/...". Each
 * item's record is what the store is to note, with the SHA-256 that the cache names the file by. A cache that is not
 * there, or cannot be read, is no error; *r says so. HEARTH_ERR_MEMORY. Release with store_list_free(). */
bool caches_look(struct store_list *out, struct cache_report *r, hearth_error *err);
