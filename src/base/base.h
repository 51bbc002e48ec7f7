/* base.h: the few things every file needs. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_LEN(a)               (sizeof(a) / sizeof((a)[0]))
#define PRINTF(fmt_arg, first_arg) __attribute__((format(printf, fmt_arg, first_arg)))

/* On a function whose unsigned arithmetic is meant to wrap, or to shift bits away: the build that looks for the places
 * where it is not meant (tools/suite.py overflow) leaves it alone. A use says why. gcc has no such check. */
#ifdef __clang__
#define WRAPS __attribute__((no_sanitize("unsigned-integer-overflow", "unsigned-shift-base")))
#else
#define WRAPS
#endif

/* A borrowed run of bytes, not NUL-terminated. Who owns it is said where it is handed out. */
struct str {
    const char *ptr;
    size_t len;
};

#define STR(literal) ((struct str){ (literal), sizeof(literal) - 1 })
#define STR_FMT      "%.*s"
#define STR_ARG(s)   (int)((s).len > 200 ? 200 : (s).len), (s).ptr

struct str str_z(const char *z); /* of a NUL-terminated string; NULL gives the empty one */
bool str_eq(struct str a, struct str b);
bool str_eq_z(struct str a, const char *z);
bool str_starts(struct str s, struct str prefix);
/* Where the first or the last `what` begins in s; SIZE_MAX: nowhere, as an empty one always is. */
size_t str_search(struct str s, struct str what);
size_t str_search_last(struct str s, struct str what);

/* 64-bit hash of bytes for tables in memory (not for identity: that is SHA-256). */
uint64_t str_hash(struct str s);

/* Checked arithmetic for numbers that came from a file or a request: false when the
 * result does not fit, and *out is then unspecified. */
static inline bool add_ok(uint64_t a, uint64_t b, uint64_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline bool mul_ok(uint64_t a, uint64_t b, uint64_t *out) { return !__builtin_mul_overflow(a, b, out); }
/* Round up to a multiple of align, a power of two. */
static inline bool align_ok(uint64_t a, uint64_t align, uint64_t *out)
{
    if (__builtin_add_overflow(a, align - 1, out))
        return false;
    *out &= ~(align - 1);
    return true;
}

/* |x|, and how far it is from a up to b, which is not below a: both fit where the signed result may not. */
static inline uint64_t magnitude_of(int64_t x) { return x < 0 ? (uint64_t)-(x + 1) + 1 : (uint64_t)x; }
/* Wraps where a is negative; the difference is right all the same. */
static inline WRAPS uint64_t distance_up(int64_t a, int64_t b) { return (uint64_t)b - (uint64_t)a; }

static inline size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t max_size(size_t a, size_t b) { return a > b ? a : b; }
static inline int min_int(int a, int b) { return a < b ? a : b; }
static inline int max_int(int a, int b) { return a > b ? a : b; }
/* Round up; only for sizes we made ourselves (checked ones use align_ok). */
static inline size_t align_size(size_t a, size_t align) { return (a + align - 1) / align * align; }
