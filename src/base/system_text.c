#include "base/system_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool read_small(const char *path, struct small_text *out)
{
    size_t n = 0;
    int fd;
    do
        fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    for (ssize_t got = 1; fd >= 0 && got != 0 && n < sizeof out->bytes - 1;) {
        got = read(fd, out->bytes + n, sizeof out->bytes - 1 - n);
        if (got < 0 && errno != EINTR)
            break;
        n += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0)
        close(fd);
    out->bytes[n] = 0;
    return n > 0;
}

bool read_again(int fd, struct small_text *out)
{
    ssize_t n = fd >= 0 ? pread(fd, out->bytes, sizeof out->bytes - 1, 0) : -1;
    out->bytes[n > 0 ? n : 0] = 0;
    return n > 0;
}

uint64_t number_after(const struct small_text *text, const char *key)
{
    for (const char *line = text->bytes; line;) {
        if (strncmp(line, key, strlen(key)) == 0)
            return strtoull(line + strlen(key), NULL, 10);
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return 0;
}

uint64_t number_in(const char *path, const char *key)
{
    struct small_text text;
    read_small(path, &text);
    return number_after(&text, key);
}

bool system_gives_huge_pages(const char *root)
{
    static const char *const names[] = { "hugepages-2048kB/enabled", "enabled" }; /* the first since Linux 6.8 */
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char path[512];
        struct small_text text;
        snprintf(path, sizeof path, "%s/sys/kernel/mm/transparent_hugepage/%s", root, names[i]);
        if (read_small(path, &text) && !strstr(text.bytes, "[inherit]"))
            return !strstr(text.bytes, "[never]");
    }
    return true;
}
