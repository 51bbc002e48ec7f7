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

/* A text that was read, and the memory it lies in. */
struct json_body {
    json_t *json; /* NULL: it is no JSON */
    struct json_room *room;
};

/* The value that the bytes are, after json_scan() has said what it costs; a key twice is none. False: memory is out.
 * Else out->json, or *why. Release with json_body_free(), in the same thread, and the last that was read there
 * first. */
bool json_read(struct json_body *out, const char *bytes, size_t n, size_t cost_bytes, json_error_t *why);

/* The object that the bytes are, after json_scan() has said what it costs. Refused: anything else, trailing bytes, keys
 * twice, bytes that are not UTF-8, numbers beyond a double; the message has the byte. NUL inside of texts is kept. */
bool json_parse(struct json_body *out, const char *bytes, size_t n, size_t cost_bytes, struct problem *p);
void json_body_free(struct json_body *b);

/* For json_set_alloc_funcs(): mem_alloc() and mem_free(), but json_read() takes all its memory at once, before it
 * begins. jansson's reader (2.14) does not look whether it could keep a character, and ends the process where one that
 * it lost stood behind a backslash; so it must not run out of memory. */
void *json_memory_alloc(size_t n);
void json_memory_free(void *p);
