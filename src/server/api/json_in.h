/* json_in.h: a request's body as JSON, held to limits before memory is taken for it. Pure. */
#pragma once
#include <jansson.h>

#include "server/api/problem.h"

enum {
    JSON_MAX_DEPTH = 64,
    JSON_MAX_VALUES = 1 << 20,
    JSON_MAX_NUMBER_BYTES = 64,
    JSON_MAX_KEY_BYTES = 256,
};

/* One pass over the bytes, without memory: depth, values, lengths of numbers and keys. It is no parser: what it lets
 * pass may still be no JSON. *cost_bytes: memory that parsing takes, at most. */
bool json_scan(const char *bytes, size_t n, size_t *cost_bytes, struct problem *p);

/* The object that the bytes are, after json_scan(). Refused: anything else, trailing bytes, keys twice, bytes that are
 * not UTF-8, numbers beyond a double; the message has the byte. NUL inside of texts is kept. A new reference, or
 * NULL. */
json_t *json_parse(const char *bytes, size_t n, struct problem *p);
