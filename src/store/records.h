/* records.h: what the store knows of its files: one small JSON file for each.
 *
 *   hf/OWNER/REPO/F.gguf               a file under its final name is whole, and its SHA-256 was right
 *   records/hf/OWNER/REPO/F.gguf.json  where it came from, its SHA-256, and what it looked like then
 *   records/import/NAME.gguf.json      a file elsewhere, which stays there
 *   partial/KEY.part, partial/KEY.json what has come of a file so far, and of what
 *
 * A record is written before its file gets its name, so a file without one was put there by somebody else, and a record
 * without its file says nothing. There is no list that could disagree with the folders. */
#pragma once
#include "base/tree.h"
#include "store/hub.h"
#include "store/http_client.h"

enum { RECORD_MOST_BYTES = 32 << 10, RECORD_KEY_BYTES = 33 };

struct store_record {
    char source[REFERENCE_BYTES]; /* "hf:OWNER/REPO:Q4_K_M" */
    char url[HUB_URL_BYTES];
    char path[TREE_PATH_BYTES];   /* of a file elsewhere; "": it is in the store */
    char sha256[65];              /* "": not known */
    bool published;               /* the hub said so too; otherwise it is only what came */
    uint64_t bytes, inode;
    int64_t mtime_ns;             /* of the file when all of it was right */
    char when[32];
};

/* 1: it is there; 0: it is not, or is none that we wrote; -1: HEARTH_ERR_IO. name: of the file. */
int record_find(const struct tree *t, const char *name, struct store_record *out, hearth_error *err);
bool record_write(const struct tree *t, const char *name, const struct store_record *r, hearth_error *err);
bool record_remove(const struct tree *t, const char *name, hearth_error *err);
/* The file is as it was when its digest was taken. */
bool record_is_of(const struct store_record *r, const struct tree_file *f);

/* What a file that is not whole yet is a piece of. */
struct partial {
    char name[STORE_NAME_BYTES];
    char url[HUB_URL_BYTES];
    char etag[HTTP_ETAG_BYTES];
    char sha256[65];   /* that is wanted; "" */
    uint64_t bytes;    /* of the whole file; UINT64_MAX: not known */
    uint64_t certain;  /* bytes that were brought to the disk */
    char boot[64];     /* since which start of the machine: until it ends, what was written is there */
};
/* The key of a name: its file is partial/KEY.part, and its note partial/KEY.json. Fills both. */
enum { PARTIAL_NAME_BYTES = 64 };
bool partial_names(const char *name, char part[PARTIAL_NAME_BYTES], char note[PARTIAL_NAME_BYTES], hearth_error *err);
int partial_find(const struct tree *t, const char *note, struct partial *out, hearth_error *err);
bool partial_write(const struct tree *t, const char *note, const struct partial *p, hearth_error *err);
void partial_boot(char out[64]); /* of this start of the machine; "": not known */

/* Pure. False: it is none that we wrote, whatever it is. */
bool record_read(struct store_record *out, struct str json);
bool partial_read(struct partial *out, struct str json);
