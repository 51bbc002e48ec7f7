/* replay.c: run a fuzz target over files and folders, with any compiler.
 *
 *   replay_NAME FILE-OR-FOLDER...
 *
 * Ends with 0 when every input was survived; a broken promise ends it by a signal, after the
 * input's name. */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fuzz.h"

static size_t n_inputs;

static int replay_file(const char *path, size_t size)
{
    uint8_t *bytes = malloc(size ? size : 1);
    FILE *f = fopen(path, "rb");
    int ok = bytes && f && fread(bytes, 1, size, f) == size;
    if (f)
        fclose(f);
    if (ok) {
        /* Stays on the screen if this is the last thing that happens. */
        fprintf(stderr, "\r\033[K%s", path);
        LLVMFuzzerTestOneInput(bytes, size);
        n_inputs++;
    } else {
        fprintf(stderr, "cannot read %s\n", path);
    }
    free(bytes);
    return ok;
}

static int replay(const char *path)
{
    struct stat st;
    char name[4096];
    int ok = 1;
    if (stat(path, &st) != 0) {
        fprintf(stderr, "cannot find %s\n", path);
        return 0;
    }
    if (!S_ISDIR(st.st_mode))
        return replay_file(path, (size_t)st.st_size);
    DIR *folder = opendir(path);
    for (struct dirent *e; folder && (e = readdir(folder));) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        ok &= replay(name);
    }
    if (folder)
        closedir(folder);
    return folder && ok;
}

int main(int argc, char **argv)
{
    int ok = 1;
    for (int i = 1; i < argc; i++)
        ok &= replay(argv[i]);
    fprintf(stderr, "\r\033[K");
    printf("%zu inputs survived\n", n_inputs);
    return ok && n_inputs > 0 ? 0 : 1;
}
