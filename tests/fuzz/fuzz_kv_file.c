/* fuzz_kv_file.c: any bytes as a file of the cache on disk, and any text as the name of one.
 *
 * The first byte of an input: 1, its head's checksum is made right first, so that what is behind it is reached; 2, its
 * data's, too. The file is the rest; the name its first line. Whatever is found good is, byte for byte, the one file
 * that is good. */
#include "fuzz.h"
#include "infer/kv_file.h"

enum { DATA = 256, SUM = 8, AT_DATA_SUM = KV_FILE_HEAD_BYTES - 2 * SUM, AT_HEAD_SUM = KV_FILE_HEAD_BYTES - SUM };

static const struct kv_form form = { .model = { 7 }, .kv_type = 1, .arithmetic_revision = 3, .page_bytes = DATA };

static void put(uint8_t *p, uint64_t sum)
{
    for (int i = 0; i < SUM; i++)
        p[i] = (uint8_t)(sum >> (8 * i));
}

static void look_at_name(const uint8_t *data, size_t size)
{
    char name[64] = "", again[KV_FILE_NAME_BYTES];
    struct kv_id id;
    size_t n = 0;
    for (; n < size && n + 1 < sizeof name && data[n] && data[n] != '\n'; n++)
        name[n] = (char)data[n];
    name[n] = 0;
    if (!kv_file_name_read(name, &id))
        return;
    kv_file_name(id, again);
    must(strcmp(name, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kv_file_page page = { .number = 2 };
    int32_t tokens[PREFIX_PAGE_TOKENS];
    uint64_t sum = 0;
    if (size < 1)
        return 0;
    look_at_name(data + 1, size - 1);
    if (size < 1 + KV_FILE_HEAD_BYTES)
        return 0;
    for (int i = 0; i < PREFIX_PAGE_TOKENS; i++)
        tokens[i] = i;
    page.tokens = tokens;
    memset(page.before.bytes, 1, sizeof page.before.bytes);
    memset(page.key.bytes, 2, sizeof page.key.bytes);
    size_t n = size - 1;
    uint8_t *file = fuzz_copy(data + 1, n);
    if (data[0] == 2 && n == KV_FILE_HEAD_BYTES + DATA)
        put(file + AT_DATA_SUM, kv_file_sum(file + KV_FILE_HEAD_BYTES, DATA));
    if (data[0] == 1 || data[0] == 2)
        put(file + AT_HEAD_SUM, kv_file_sum(file, AT_HEAD_SUM));
    enum kv_file_fault fault = kv_file_check(file, n, &form, &page, &sum);
    must(kv_file_fault_text(fault)[0]);
    if (fault == KV_FILE_GOOD) {
        uint8_t head[KV_FILE_HEAD_BYTES];
        must(n == kv_file_bytes(&form));
        kv_file_head(head, &form, &page, sum);
        must(memcmp(head, file, sizeof head) == 0);
        must((kv_file_sum(file + KV_FILE_HEAD_BYTES, DATA) == sum) || data[0] != 2);
    }
    free(file);
    return 0;
}
