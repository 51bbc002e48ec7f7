/* system_text.h: small text files of /proc and /sys, read without allocating: a plan must not change because memory
 * is short. */
#pragma once
#include "base/base.h"

struct small_text {
    char bytes[4096];
};
/* The file's beginning, NUL-terminated; false and "" when there is none. */
bool read_small(const char *path, struct small_text *out);
/* The same of a file that is open, from its beginning. */
bool read_again(int fd, struct small_text *out);
/* First number after `key` at the beginning of a line; 0 when absent. */
uint64_t number_after(const struct small_text *text, const char *key);
uint64_t number_in(const char *path, const char *key);

/* Whether 2 MB pages are given to memory that asks for them (transparent huge pages are not off); true where the system
 * does not say. madvise() succeeds either way. root: put before /sys, "" for the machine itself. */
bool system_gives_huge_pages(const char *root);
