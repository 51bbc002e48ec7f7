/* roof.h: what this machine can do at most, to hold a figure against: bytes read from memory, and multiply-adds on
 * registers, of 8-bit integers and of f32.
 *
 * A reading is some tens of milliseconds long, so that readings can alternate with what they are compared with: what a
 * shared machine gives drifts by the minute. It is made of pieces of less than a millisecond that all threads begin
 * together, and is their median. A piece in which a thread did not have its processor all the time (others ran on it)
 * says nothing about the machine and is left out, unless too few are left. */
#pragma once
#include "base/thread.h"
#include "kernel/kernel.h"

/* The loops of one instruction set: isa/roof.h. */
struct roof_loops {
    uint64_t (*read)(const void *p, size_t bytes); /* the widest loads; bytes: a multiple of 256; all words or-ed */
    uint64_t (*int8)(int n);                       /* n >= 1 times int8_macs multiply-adds, many independent sums */
    uint64_t (*f32)(int n);                        /* n times f32_macs */
    int int8_macs, f32_macs;
};

enum roof_kind { ROOF_READ, ROOF_INT8, ROOF_F32, N_ROOFS };

struct roofs; /* opaque */

/* Threads of its own, and 64 MB or more for each, together far more than the caches hold. k: whose loops. */
struct roofs *roofs_create(const struct kernels *k, int n_threads, hearth_error *err);
/* Over memory that is there already (weights, 32-byte aligned), with the threads of somebody's pool: how fast that can
 * be read, from wherever it is. Both must outlive it; nothing else may use the pool meanwhile. ROOF_READ only. */
struct roofs *roofs_over(const struct kernels *k, struct pool *pool, const void *memory, size_t bytes,
                         hearth_error *err);
void roofs_destroy(struct roofs *r); /* NULL is fine */
size_t roofs_bytes(const struct roofs *r); /* of memory, all of it resident */
/* What roofs_create() would take now: more for larger caches, as far as memory is there, and never less than 64 MB for
 * each thread, whether that is there or not. */
size_t roofs_bytes_for(int n_threads);

/* One reading with n_threads (1 to what it was created with): 10^9 bytes or multiply-adds a second. */
double roofs_read(struct roofs *r, enum roof_kind kind, int n_threads);
/* The same, of undisturbed pieces alone; before each go_on(arg) may end it. 0: there were too few. */
double roofs_read_while(struct roofs *r, enum roof_kind kind, int n_threads, bool (*go_on)(void *arg), void *arg);
/* The share of all pieces so far, 0 to 1, that others disturbed. */
double roofs_disturbed(const struct roofs *r);
