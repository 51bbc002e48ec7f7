/* strftime.c: strftime_now(), from a date that was handed in; names are English ("C"). */
#include <stdio.h>
#include <string.h>

#include "text/jinja/value.h"

static const char *const days[] = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" };
static const char *const months[] = { "January", "February", "March", "April", "May", "June", "July", "August",
                                      "September", "October", "November", "December" };

static int day_of_year(const struct jinja_date *d)
{
    static const int before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
    bool leap = d->year % 4 == 0 && (d->year % 100 != 0 || d->year % 400 == 0);
    return before[d->month - 1] + d->day + (leap && d->month > 2);
}

/* 0: Sunday. Days since the 1st of January of year 1, which was a Monday. */
static int day_of_week(const struct jinja_date *d)
{
    int64_t y = d->year - 1;
    return (int)((y * 365 + y / 4 - y / 100 + y / 400 + day_of_year(d)) % 7);
}

static void iso_week(const struct jinja_date *d, int *year, int *week)
{
    int weekday = (day_of_week(d) + 6) % 7; /* 0: Monday */
    *year = d->year;
    *week = (day_of_year(d) - 1 - weekday + 10) / 7;
    struct jinja_date last = { .year = d->year - (*week < 1), .month = 12, .day = 31 };
    int last_weekday = (day_of_week(&last) + 6) % 7, last_week = (day_of_year(&last) - 1 - last_weekday + 10) / 7;
    if (last_week == 53 && last_weekday < 3)
        last_week = 1;
    if (*week < 1) {
        --*year;
        *week = last_week == 1 ? 52 : last_week;
    } else if (*week == 53 && last_week == 1) {
        ++*year;
        *week = 1;
    }
}

static bool put_number(struct run *r, struct growing *g, char c, const struct jinja_date *d, bool *known)
{
    int week_year, week, weekday = day_of_week(d), value, width = 2;
    char text[24];
    iso_week(d, &week_year, &week);
    *known = true;
    switch (c) {
    case 'd': value = d->day; break;
    case 'm': value = d->month; break;
    case 'y': value = d->year % 100; break;
    case 'C': value = d->year / 100; break;
    case 'Y': value = d->year; width = 1; break;
    case 'G': value = week_year; width = 1; break;
    case 'H': value = d->hour; break;
    case 'I': value = d->hour % 12 ? d->hour % 12 : 12; break;
    case 'M': value = d->minute; break;
    case 'S': value = d->second; break;
    case 'j': value = day_of_year(d); width = 3; break;
    case 'f': value = 0; width = 6; break;
    case 'u': value = weekday ? weekday : 7; width = 1; break;
    case 'w': value = weekday; width = 1; break;
    case 'U': value = (day_of_year(d) + 6 - weekday) / 7; break;
    case 'W': value = (day_of_year(d) + 6 - (weekday + 6) % 7) / 7; break;
    case 'V': value = week; break;
    default: *known = false; return true;
    }
    snprintf(text, sizeof text, "%0*d", width, value);
    return j_puts(r, g, text, false);
}

/* `minus`: "%-d", the number without leading zeros. */
static bool put_one(struct run *r, struct growing *g, char c, bool minus, const struct jinja_date *d)
{
    static const struct { char c; const char *as; } compound[] = {
        { 'D', "%m/%d/%y" }, { 'x', "%m/%d/%y" }, { 'F', "%Y-%m-%d" }, { 'T', "%H:%M:%S" }, { 'X', "%H:%M:%S" },
        { 'R', "%H:%M" }, { 'r', "%I:%M:%S %p" }, { 'c', "%a %b %e %H:%M:%S %Y" } };
    bool known;
    char text[16];
    size_t from = g->len;
    if (!put_number(r, g, c, d, &known))
        return false;
    if (known) {
        size_t zeros = 0;
        while (minus && from + zeros + 1 < g->len && g->ptr[from + zeros] == '0')
            zeros++;
        memmove(g->ptr + from, g->ptr + from + zeros, g->len - from - zeros);
        g->len -= zeros;
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(compound); i++)
        for (const char *p = compound[i].as; compound[i].c == c && *p; p++)
            if (!(*p == '%' ? put_one(r, g, *++p, false, d) : j_put(r, g, p, 1, false)))
                return false;
    const char *day = days[day_of_week(d)], *month = months[d->month - 1];
    switch (c) {
    case 'A': return j_puts(r, g, day, false);
    case 'a': return j_put(r, g, day, 3, false);
    case 'B': return j_puts(r, g, month, false);
    case 'b': case 'h': return j_put(r, g, month, 3, false);
    case 'p': return j_puts(r, g, d->hour < 12 ? "AM" : "PM", false);
    case 'e': case 'k': case 'l':
        snprintf(text, sizeof text, minus ? "%d" : "%2d", c == 'e' ? d->day : c == 'k' || d->hour % 12 == 0
                 ? (c == 'k' ? d->hour : 12) : d->hour % 12);
        return j_puts(r, g, text, false);
    case 'n': return j_puts(r, g, "\n", false);
    case 't': return j_puts(r, g, "\t", false);
    case '%': return j_puts(r, g, "%", false);
    default: return true; /* %z, %Z: the date has no zone; compounds are written already */
    }
}

bool j_strftime(struct run *r, struct value format, const struct jinja_date *date, struct value *out)
{
    struct growing g = { 0 };
    struct jinja_date d = *date;
    if (d.month < 1 || d.month > 12 || d.day < 1 || d.day > 31 || d.year < 1 || d.year > 9999)
        return j_fail(r, "strftime_now: no date was given to the template");
    struct str f = j_str(format);
    for (size_t i = 0; i < f.len; i++) {
        if (f.ptr[i] != '%' || i + 1 == f.len) {
            if (!j_put_part(r, &g, format.s, i, 1))
                return false;
            continue;
        }
        bool minus = f.ptr[i + 1] == '-' && i + 2 < f.len;
        i += 1 + (size_t)minus;
        if (!put_one(r, &g, f.ptr[i], minus, &d))
            return false;
    }
    return j_built(r, &g, out);
}
