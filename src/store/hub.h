/* hub.h: what hubs of models answer, and what is to be fetched from them. Pure: bytes in, names, sizes and digests out.
 *
 * Hugging Face: GET /api/models/OWNER/REPO/tree/main?recursive=1, a list of { "type": "file", "path", "size",
 * "lfs": { "oid": SHA-256 } }, whose next page is where a Link header says; a file is at
 * /OWNER/REPO/resolve/main/PATH.
 * Ollama: GET /v2/USER/NAME/manifests/TAG, { "layers": [{ "mediaType", "digest": "sha256:...", "size" }] }; a file is
 * at /v2/USER/NAME/blobs/sha256:... . */
#pragma once
#include "store/reference.h"

enum { HUB_MOST_BYTES = 4 << 20, HUB_MOST_LAYERS = 64, HUB_URL_BYTES = 2048, HUB_MOST_DEPTH = 32,
       HUB_MOST_PAGES = 32 };
#define HUB_MOST_FILE_BYTES ((uint64_t)1 << 44)

struct hub_file {
    char name[STORE_NAME_BYTES]; /* in the store */
    char url[HUB_URL_BYTES];
    char sha256[65];             /* what it must be, in small letters; "": nobody said */
    uint64_t bytes;              /* UINT64_MAX: nobody said */
};

struct hub_set {
    struct hub_file *file; /* [n], the parts of one model; hub_set_free() */
    int n;
};

/* 64 digits, 0-9a-f. */
bool hub_is_sha256(const char *text);

/* hub: "https://huggingface.co", without a slash at its end. page: the list, in as many answers as it came in; all of
 * them together have at most HUB_MOST_BYTES. HEARTH_ERR_FORMAT, HEARTH_ERR_MEMORY; HEARTH_ERR_USAGE:
 * the repository has not what is wanted, and the sentence lists what it has. */
bool hub_read_hf(struct hub_set *out, const struct reference *r, const char *hub, const struct str *page, int n_pages,
                 hearth_error *err);
bool hub_read_ollama(struct hub_set *out, const struct reference *r, const char *hub, struct str answer,
                     hearth_error *err);
bool hub_of_url(struct hub_set *out, const struct reference *r, hearth_error *err);
void hub_set_free(struct hub_set *s); /* fine on a zeroed one */
