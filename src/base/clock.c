#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_ns(clockid_t which)
{
    struct timespec t = { 0 };
    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t clock_ns(void) { return read_ns(CLOCK_MONOTONIC); }
int64_t clock_thread_ns(void) { return read_ns(CLOCK_THREAD_CPUTIME_ID); }
int64_t clock_process_ns(void) { return read_ns(CLOCK_PROCESS_CPUTIME_ID); }

int64_t clock_unix_ns(void) { return read_ns(CLOCK_REALTIME); }
int64_t clock_unix_s(void) { return (int64_t)time(NULL); }

void clock_utc_at(int64_t unix_ms, char out[32])
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm t = { .tm_mday = 1 };
    size_t n = gmtime_r(&seconds, &t) ? strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &t) : 0;
    snprintf(out + n, 32 - n, ".%03dZ", (int)(unix_ms % 1000));
}

void clock_utc(char out[32]) { clock_utc_at(read_ns(CLOCK_REALTIME) / 1000000, out); }

void clock_local_at(int64_t unix_s, int out[6])
{
    time_t at = (time_t)unix_s;
    struct tm t = { .tm_mday = 1 };
    localtime_r(&at, &t);
    const int parts[6] = { t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec };
    for (int i = 0; i < 6; i++)
        out[i] = parts[i];
}

void clock_local(int out[6]) { clock_local_at((int64_t)time(NULL), out); }

int64_t clock_unix_of_local(const int parts[6])
{
    struct tm t = { .tm_year = parts[0] - 1900, .tm_mon = parts[1] - 1, .tm_mday = parts[2], .tm_hour = parts[3],
                    .tm_min = parts[4], .tm_sec = parts[5], .tm_isdst = -1 };
    int64_t s = (int64_t)mktime(&t);
    /* A 31st of April becomes the 1st of May. */
    return t.tm_mon == parts[1] - 1 && t.tm_mday == parts[2] ? s : -1;
}
