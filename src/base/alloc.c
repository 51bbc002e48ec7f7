#define _GNU_SOURCE
#include "base/alloc.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/system_text.h"

static atomic_ullong n_calls;
static atomic_ullong fail_call; /* 0: never */
static atomic_bool fail_on;     /* and all after it */

static bool told_to_fail(void)
{
    uint64_t call = atomic_fetch_add_explicit(&n_calls, 1, memory_order_relaxed) + 1;
    uint64_t first = atomic_load_explicit(&fail_call, memory_order_relaxed);
    return call == first || (first && call > first && atomic_load_explicit(&fail_on, memory_order_relaxed));
}

static uint64_t tell_to_fail(uint64_t n, bool on)
{
    uint64_t calls = atomic_exchange(&n_calls, 0);
    atomic_store(&fail_on, on);
    atomic_store(&fail_call, n);
    return calls;
}

uint64_t mem_fail_at(uint64_t n) { return tell_to_fail(n, false); }

uint64_t mem_fail_from(uint64_t n) { return tell_to_fail(n, true); }

static _Thread_local uint64_t n_refused;

uint64_t mem_n_refused(void) { return n_refused; }

static void *counted(void *p)
{
    n_refused += p == NULL;
    return p;
}

void *mem_alloc(size_t bytes) { return counted(told_to_fail() ? NULL : calloc(1, bytes ? bytes : 1)); }

void *mem_resize(void *old, size_t bytes) { return counted(told_to_fail() ? NULL : realloc(old, bytes ? bytes : 1)); }

void mem_free(void *p) { free(p); }

void mem_hold_little(void)
{
    enum { LARGE_BYTES = 256 << 10 };
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES); /* a fixed one: glibc's own rises */
    mallopt(M_ARENA_MAX, 1);
}

enum { HUGE_BYTES = 2 << 20 };

void *mem_pages(size_t bytes, bool *huge)
{
    if (huge)
        *huge = bytes < HUGE_BYTES;
    if (told_to_fail())
        return NULL;
    /* Over-allocate by one large page and give the ends back, so that the block starts on
     * a 2 MB boundary; small blocks are not worth it. */
    size_t slack = bytes >= HUGE_BYTES ? HUGE_BYTES : 0;
    size_t whole;
    if (__builtin_add_overflow(bytes, slack, &whole))
        return NULL;
    char *p = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (!slack)
        return p;
    size_t before = (HUGE_BYTES - (uintptr_t)p % HUGE_BYTES) % HUGE_BYTES;
    size_t kept = align_size(bytes, 4096);
    if (before)
        munmap(p, before);
    if (whole > before + kept)
        munmap(p + before + kept, whole - before - kept);
    bool taken = madvise(p + before, kept, MADV_HUGEPAGE) == 0;
    if (huge)
        *huge = taken && system_gives_huge_pages("");
    return p + before;
}

void mem_pages_forget(void *p, size_t bytes)
{
    if (p)
        madvise(p, align_size(bytes, 4096), MADV_DONTNEED);
}

void mem_pages_small(void *p, size_t bytes) { (void)madvise(p, align_size(bytes, 4096), MADV_NOHUGEPAGE); }

/* Of a large page that is partly unmapped the system keeps all until it looks for memory, but MADV_FREE cuts it. */
void mem_pages_forget_part(void *p, size_t bytes)
{
    (void)madvise(p, bytes, MADV_FREE);
    (void)madvise(p, bytes, MADV_DONTNEED);
}

void mem_pages_free(void *p, size_t bytes)
{
    if (p)
        munmap(p, bytes >= HUGE_BYTES ? align_size(bytes, 4096) : bytes);
}
