/* kv_file.h: a full page of keys and values as a file.
 *
 *   head [512]  magic "hearthKV", version, lengths, whose page it is (below), its 64 tokens, checksums of data and head
 *   data        the page as it is in the pool (kernel/attention.h), page_bytes
 *
 * Whose it is: the form (which model computed it, by which arithmetic, kept as what) and the page's key. A key is the
 * SHA-256 of the key of the page before it and of its tokens; the first page has before it the SHA-256 of the form and
 * the salt. So a key says all tokens up to the page's end, and under which salt: a file is of use to nobody else, and
 * without the salt its key cannot be told from the tokens. The template is no part of it: it has no influence but by
 * the tokens.
 *
 * Who reads knows form, key and tokens before: nothing in a file is believed, all is compared. The checksum is against
 * damage, not against forgery: any change within 8 bytes at a multiple of 8 is found, any other but for one in 2^64.
 * Pure functions; nothing here allocates. Numbers are little-endian. */
#pragma once
#include "base/base.h"
#include "base/sha256.h"
#include "infer/prefix.h"

enum {
    KV_FILE_VERSION = 1,
    KV_FILE_HEAD_BYTES = 512,
    KV_FILE_NAME_BYTES = 32 + 3 + 1, /* 16 bytes of the key as hex digits, ".kv", NUL */
};

struct kv_key {
    uint8_t bytes[32];
};

/* What all pages of a model have in common. */
struct kv_form {
    uint8_t model[32]; /* what it is told from others by: engine/keep.c */
    uint32_t kv_type, arithmetic_revision;
    uint64_t page_bytes;
};

/* One of them. */
struct kv_file_page {
    struct kv_key key, before;
    uint32_t number; /* in its sequence, from 0 */
    const int32_t *tokens; /* [PREFIX_PAGE_TOKENS] */
};

/* What stands before the first page under a salt. sha is used and begun anew; NULL gives zeros. */
void kv_key_first(struct sha256 *sha, const struct kv_form *form, uint64_t salt, struct kv_key *key);
void kv_key_next(struct sha256 *sha, const struct kv_key *before, const int32_t tokens[PREFIX_PAGE_TOKENS],
                 struct kv_key *key);

/* The first 16 bytes of a key: what files are called by. */
struct kv_id {
    uint64_t half[2];
};
struct kv_id kv_id_of(const struct kv_key *key);
void kv_file_name(struct kv_id id, char name[KV_FILE_NAME_BYTES]);
/* False: it is no such name. */
bool kv_file_name_read(const char *name, struct kv_id *id);

static inline uint64_t kv_file_bytes(const struct kv_form *form) { return KV_FILE_HEAD_BYTES + form->page_bytes; }

uint64_t kv_file_sum(const void *bytes, size_t n);
/* Write the head of a page whose data has this sum. */
void kv_file_head(uint8_t head[KV_FILE_HEAD_BYTES], const struct kv_form *form, const struct kv_file_page *page,
                  uint64_t data_sum);

enum kv_file_fault {
    KV_FILE_GOOD,
    KV_FILE_LENGTH,  /* cut short or too long */
    KV_FILE_FOREIGN, /* it does not begin as such files do */
    KV_FILE_OTHER_VERSION,
    KV_FILE_HEAD,    /* its checksum is wrong */
    KV_FILE_OTHER,   /* whole, but of another model, arithmetic, key or text */
    KV_FILE_DATA,    /* its checksum is wrong */
};
/* For sentences: "it is cut short or too long". Static. */
const char *kv_file_fault_text(enum kv_file_fault fault);
/* Is this the head of a file of that length with this page? *data_sum: what its data must have. */
enum kv_file_fault kv_file_check(const uint8_t head[KV_FILE_HEAD_BYTES], uint64_t file_bytes,
                                 const struct kv_form *form, const struct kv_file_page *page, uint64_t *data_sum);
