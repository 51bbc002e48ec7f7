/* clock.h: time for measuring, never for deciding what to compute. */
#pragma once
#include <stdint.h>

int64_t clock_ns(void);         /* monotonic */
int64_t clock_thread_ns(void);  /* processor time of the calling thread */
int64_t clock_process_ns(void); /* and of all threads of the process */
int64_t clock_unix_s(void);     /* wall clock */
int64_t clock_unix_ns(void);    /* the same, finer: for the times of files */
static inline double clock_ms_since(int64_t start_ns) { return (double)(clock_ns() - start_ns) / 1e6; }

/* Wall time in UTC, RFC 3339: "2026-11-27T02:10:11.123Z". */
void clock_utc(char out[32]);
void clock_utc_at(int64_t unix_ms, char out[32]); /* of that time */
/* Local wall time as year, month, day, hour, minute, second; month and day from 1. */
void clock_local(int out[6]);
void clock_local_at(int64_t unix_s, int out[6]);
int64_t clock_unix_of_local(const int parts[6]); /* below 0: there is no such time, or it is before 1970 */
