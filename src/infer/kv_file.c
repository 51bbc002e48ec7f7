#include "infer/kv_file.h"

#include <string.h>

#include "base/rng.h"

static const char magic[8] = { 'h', 'e', 'a', 'r', 't', 'h', 'K', 'V' };

/* Where things are in the head; what is not named is 0. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_HEAD_BYTES = 12,
    AT_KV_TYPE = 16,
    AT_REVISION = 20,
    AT_PAGE_BYTES = 24,
    AT_NUMBER = 32,
    AT_PAGE_TOKENS = 36,
    AT_MODEL = 40,
    AT_KEY = 72,
    AT_BEFORE = 104,
    AT_TOKENS = 136,
    AT_DATA_SUM = 496,
    AT_HEAD_SUM = 504,
};

static void put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static void put_u64(uint8_t *p, uint64_t v)
{
    put_u32(p, (uint32_t)v);
    put_u32(p + 4, (uint32_t)(v >> 32));
}

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get_u64(const uint8_t *p) { return get_u32(p) | (uint64_t)get_u32(p + 4) << 32; }

/* ---- keys ---- */

void kv_key_first(struct sha256 *sha, const struct kv_form *form, uint64_t salt, struct kv_key *key)
{
    uint8_t rest[32] = { 0 };
    put_u32(rest, KV_FILE_VERSION);
    put_u32(rest + 4, form->kv_type);
    put_u32(rest + 8, form->arithmetic_revision);
    put_u32(rest + 12, PREFIX_PAGE_TOKENS);
    put_u64(rest + 16, form->page_bytes);
    put_u64(rest + 24, salt);
    sha256_add(sha, magic, sizeof magic);
    sha256_add(sha, form->model, sizeof form->model);
    sha256_add(sha, rest, sizeof rest);
    sha256_bytes(sha, key->bytes);
}

static void put_tokens(uint8_t out[4 * PREFIX_PAGE_TOKENS], const int32_t *tokens)
{
    for (int i = 0; i < PREFIX_PAGE_TOKENS; i++)
        put_u32(out + 4 * i, (uint32_t)tokens[i]);
}

void kv_key_next(struct sha256 *sha, const struct kv_key *before, const int32_t tokens[PREFIX_PAGE_TOKENS],
                 struct kv_key *key)
{
    uint8_t bytes[4 * PREFIX_PAGE_TOKENS];
    put_tokens(bytes, tokens);
    sha256_add(sha, before->bytes, sizeof before->bytes);
    sha256_add(sha, bytes, sizeof bytes);
    sha256_bytes(sha, key->bytes);
}

/* ---- names ---- */

struct kv_id kv_id_of(const struct kv_key *key)
{
    return (struct kv_id){ { get_u64(key->bytes), get_u64(key->bytes + 8) } };
}

void kv_file_name(struct kv_id id, char name[KV_FILE_NAME_BYTES])
{
    for (int i = 0; i < 32; i++)
        name[i] = "0123456789abcdef"[id.half[i / 16] >> (60 - i % 16 * 4) & 15];
    memcpy(name + 32, ".kv", 4);
}

bool kv_file_name_read(const char *name, struct kv_id *id)
{
    static const char digits[] = "0123456789abcdef";
    *id = (struct kv_id){ { 0 } };
    for (int i = 0; i < 32; i++) {
        const char *digit = name[i] ? strchr(digits, name[i]) : NULL;
        if (!digit)
            return false;
        id->half[i / 16] |= (uint64_t)(digit - digits) << (60 - i % 16 * 4);
    }
    return strcmp(name + 32, ".kv") == 0;
}

/* ---- checksums ---- */

enum { LANES = 8 };

/* One step of a lane: for a given word all states have different results, and for a given state all words. Wraps: a
 * multiplication modulo 2^64 is the mixing. */
static inline WRAPS uint64_t mixed(uint64_t lane, const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    lane = (lane ^ word) * 0x9e3779b97f4a7c15u;
    return lane << 29 | lane >> 35;
}

/* Eight sums side by side, so that it is as fast as memory is read; then of those, of what is left, and of the length,
 * which is in the first state. */
uint64_t kv_file_sum(const void *bytes, size_t n)
{
    const uint8_t *p = bytes, *end = p + n / (8 * LANES) * (8 * LANES);
    uint64_t lane[LANES], sum = n;
    for (int i = 0; i < LANES; i++)
        lane[i] = (uint64_t)i;
    for (; p < end; p += 8 * LANES)
        for (int i = 0; i < LANES; i++)
            lane[i] = mixed(lane[i], p + 8 * i);
    for (int i = 0; i < LANES; i++)
        sum = rng_mix(sum ^ lane[i]);
    for (size_t left = n % (8 * LANES), k; left > 0; left -= k, p += k) {
        uint8_t last[8] = { 0 };
        k = min_size(left, sizeof last);
        memcpy(last, p, k);
        sum = rng_mix(mixed(sum, last));
    }
    return sum;
}

/* ---- heads ---- */

void kv_file_head(uint8_t head[KV_FILE_HEAD_BYTES], const struct kv_form *form, const struct kv_file_page *page,
                  uint64_t data_sum)
{
    memset(head, 0, KV_FILE_HEAD_BYTES);
    memcpy(head + AT_MAGIC, magic, sizeof magic);
    put_u32(head + AT_VERSION, KV_FILE_VERSION);
    put_u32(head + AT_HEAD_BYTES, KV_FILE_HEAD_BYTES);
    put_u32(head + AT_KV_TYPE, form->kv_type);
    put_u32(head + AT_REVISION, form->arithmetic_revision);
    put_u64(head + AT_PAGE_BYTES, form->page_bytes);
    put_u32(head + AT_NUMBER, page->number);
    put_u32(head + AT_PAGE_TOKENS, PREFIX_PAGE_TOKENS);
    memcpy(head + AT_MODEL, form->model, sizeof form->model);
    memcpy(head + AT_KEY, page->key.bytes, sizeof page->key.bytes);
    memcpy(head + AT_BEFORE, page->before.bytes, sizeof page->before.bytes);
    put_tokens(head + AT_TOKENS, page->tokens);
    put_u64(head + AT_DATA_SUM, data_sum);
    put_u64(head + AT_HEAD_SUM, kv_file_sum(head, AT_HEAD_SUM));
}

const char *kv_file_fault_text(enum kv_file_fault fault)
{
    static const char *const texts[] = {
        [KV_FILE_GOOD] = "nothing is wrong with it",
        [KV_FILE_LENGTH] = "it is cut short or too long",
        [KV_FILE_FOREIGN] = "it is no file of this cache",
        [KV_FILE_OTHER_VERSION] = "it is of another version of this cache",
        [KV_FILE_HEAD] = "its head is damaged",
        [KV_FILE_OTHER] = "it holds something else than its name says",
        [KV_FILE_DATA] = "its data is damaged",
    };
    return texts[fault];
}

enum kv_file_fault kv_file_check(const uint8_t head[KV_FILE_HEAD_BYTES], uint64_t file_bytes,
                                 const struct kv_form *form, const struct kv_file_page *page, uint64_t *data_sum)
{
    uint8_t wanted[KV_FILE_HEAD_BYTES];
    if (memcmp(head, magic, sizeof magic) != 0)
        return KV_FILE_FOREIGN;
    if (get_u32(head + AT_VERSION) != KV_FILE_VERSION)
        return KV_FILE_OTHER_VERSION;
    if (get_u64(head + AT_HEAD_SUM) != kv_file_sum(head, AT_HEAD_SUM))
        return KV_FILE_HEAD;
    *data_sum = get_u64(head + AT_DATA_SUM);
    kv_file_head(wanted, form, page, *data_sum);
    if (memcmp(head, wanted, sizeof wanted) != 0)
        return KV_FILE_OTHER;
    return file_bytes == kv_file_bytes(form) ? KV_FILE_GOOD : KV_FILE_LENGTH;
}
