#include "server/request_id.h"

#include <string.h>

#include "base/rng.h"

static const char own[] = "req-";

static void draw(char id[REQUEST_ID_ROOM])
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    enum { N_DIGITS = 13 };
    uint64_t number = rng_entropy();
    memcpy(id, own, sizeof own - 1);
    for (int i = 0; i < N_DIGITS; i++)
        id[sizeof own - 1 + (size_t)i] = digits[number >> (5 * i) & 31];
    id[sizeof own - 1 + N_DIGITS] = 0;
}

bool request_id_make(const struct head *h, char id[REQUEST_ID_ROOM])
{
    struct str given = head_value(h, "X-Request-Id");
    bool valid = given.ptr && hearth_request_id_valid(given.ptr, given.len);
    if (!valid) {
        draw(id);
        return !given.ptr || given.len == 0;
    }
    memcpy(id, given.ptr, given.len);
    id[given.len] = 0;
    return true;
}

const char *request_id_bare(const char *id) { return strncmp(id, own, sizeof own - 1) == 0 ? id + sizeof own - 1 : id; }

bool request_id_is(const char *id, const char *said)
{
    static const char *const prefixes[] = { "", "chatcmpl-", "cmpl-" };
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        size_t n = strlen(prefixes[i]);
        if (strncmp(said, prefixes[i], n) == 0
            && (strcmp(said + n, id) == 0 || strcmp(said + n, request_id_bare(id)) == 0))
            return true;
    }
    return false;
}
