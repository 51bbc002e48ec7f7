#define _DEFAULT_SOURCE
#include "check.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t whole_pages(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return align_size(bytes, page);
}

/* Mappings that were given back, by their number of pages: making one costs more than what is checked in it. */
enum { KEPT_PAGES = 64, KEPT_OF_A_SIZE = 16 };
static uint8_t *kept[KEPT_PAGES][KEPT_OF_A_SIZE];
static int n_kept[KEPT_PAGES];

void *guard_alloc(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), used = whole_pages(bytes), pages = used / page;
    if (pages < KEPT_PAGES && n_kept[pages] > 0) {
        uint8_t *again = kept[pages][--n_kept[pages]];
        memset(again, 0, used);
        return again + used - bytes;
    }
    uint8_t *map = mmap(NULL, used + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + used, page, PROT_NONE) != 0)
        fail_msg("no memory for a guarded block of %zu bytes", bytes);
    return map + used - bytes;
}

void guard_free(void *p, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), used = whole_pages(bytes), pages = used / page;
    if (pages < KEPT_PAGES && n_kept[pages] < KEPT_OF_A_SIZE) {
        kept[pages][n_kept[pages]++] = (uint8_t *)p + bytes - used;
        return;
    }
    munmap((uint8_t *)p + bytes - used, used + page);
}

void *guard_copy(const void *from, size_t bytes)
{
    void *p = guard_alloc(bytes);
    memcpy(p, from, bytes);
    return p;
}

int first_difference(const float *a, const float *b, int n)
{
    for (int i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0 && !(a[i] != a[i] && b[i] != b[i]))
            return i;
    return -1;
}

float *row_random(struct rng *rng, int n, float size)
{
    float *x = guard_alloc(sizeof(float) * (size_t)n);
    for (int i = 0; i < n; i++)
        x[i] = rng_normal(rng) * size;
    return x;
}

void row_free(float *x, int n) { guard_free(x, sizeof(float) * (size_t)n); }

void rows_same(const struct kernels *k, const char *what, int n, const float *got, const float *want, int count)
{
    int i = first_difference(got, want, count);
    if (i >= 0)
        fail_msg("%s %s, n = %d, at %d: %a, scalar %a", k->isa, what, n, i, (double)got[i], (double)want[i]);
}

void value_near(const char *what, int n, float got, double want, double tolerance)
{
    if (!(fabs((double)got - want) <= tolerance))
        fail_msg("%s, n = %d: %.9g, want %.9g", what, n, (double)got, want);
}

const struct kernels *scalar_table(void)
{
    int last = 0;
    while (kernels_all[last + 1])
        last++;
    return kernels_all[last];
}
