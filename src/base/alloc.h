/* alloc.h: the two doors through which memory comes.
 *
 * mem_alloc() for parse-time and request-time data, mem_pages() for the large, planned
 * blocks (KV, workspace). Tests make the n-th call fail with mem_fail_at(). */
#pragma once
#include "base/base.h"

/* Zeroed memory, or NULL. Release with mem_free(); NULL is fine there. */
void *mem_alloc(size_t bytes);
/* Grow or shrink; the new part is not zeroed. NULL leaves the old block as it was. */
void *mem_resize(void *old, size_t bytes);
void mem_free(void *p);

/* How many calls of the two gave NULL in this thread so far. For libraries that go on as if nothing had happened:
 * jansson's parser leaves out a character of a text that it has no memory for. Compare before and after. */
uint64_t mem_n_refused(void);

/* Zeroed pages straight from the system, 2 MB aligned where that helps, or NULL.
 * Untouched pages cost nothing. *huge (NULL: not interested): 2 MB pages were asked for and the system
 * gives them, as far as it finds some free when a page is touched. Blocks below 2 MB are true: they need none. */
void *mem_pages(size_t bytes, bool *huge);
void mem_pages_free(void *p, size_t bytes);
/* What is in such a block is wanted no more: its memory goes back to the system, and reads as zeros when it is touched
 * again. */
void mem_pages_forget(void *p, size_t bytes);
/* No further pages of 2 MB for it: the system puts them together again, around parts that were forgotten, too. */
void mem_pages_small(void *p, size_t bytes);
/* Forget a part of it, whole pages of 4096 bytes. */
void mem_pages_forget_part(void *p, size_t bytes);

/* For programs that promise how much they hold; before the first thread is started. Large blocks go back to the system
 * as soon as they are free, whatever their like did before (glibc keeps blocks of up to 32 MB once it has seen one of
 * that size go), and all threads take from one heap (glibc gives each one of its own, and what one of them freed serves
 * no other: 1 to 2 MB more, for as long as it takes until each has been as full as it gets). */
void mem_hold_little(void);

/* Test hook: the n-th call from now on (1 = the next one) of mem_alloc, mem_resize or
 * mem_pages fails, once. 0 turns it off. Returns how many calls were made since the last
 * call of this function. Not thread-safe against a change in mid-flight. */
uint64_t mem_fail_at(uint64_t n);
/* The same, and every call after it fails too. */
uint64_t mem_fail_from(uint64_t n);
