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

void clock_utc(char out[32])
{
    int64_t now = read_ns(CLOCK_REALTIME);
    time_t seconds = (time_t)(now / 1000000000);
    struct tm t = { .tm_mday = 1 };
    size_t n = gmtime_r(&seconds, &t) ? strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &t) : 0;
    snprintf(out + n, 32 - n, ".%03dZ", (int)(now / 1000000 % 1000));
}

void clock_local(int out[6])
{
    time_t now = time(NULL);
    struct tm t = { .tm_mday = 1 };
    localtime_r(&now, &t);
    const int parts[6] = { t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec };
    for (int i = 0; i < 6; i++)
        out[i] = parts[i];
}
