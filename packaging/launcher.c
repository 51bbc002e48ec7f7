/* launcher.c: the program `hearth` of a self-contained archive (make dist).
 *
 * It starts lib/hearth with the archive's own loader and libraries, wherever the archive lies: an ordinary program
 * names its loader by an absolute path. Linked statically; needs nothing of the system it runs on, not even /proc. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

enum { ROOM = PATH_MAX + 64, FAILED = 3 }; /* EXIT_FILE of the program */

static int give_up(const char *what, const char *path)
{
    fprintf(stderr, "hearth: cannot %s %s: %s; unpack the archive again, as a whole\n", what, path, strerror(errno));
    return FAILED;
}

int main(int argc, char **argv)
{
    const char *self = (const char *)getauxval(AT_EXECFN); /* as the kernel was told: absolute, or from here */
    char folder[PATH_MAX], libraries[PATH_MAX + 8], loader[ROOM], program[ROOM];
    if (!self || !realpath(self, folder))
        return give_up("find the folder of", self ? self : "this program");
    *strrchr(folder, '/') = 0;
    snprintf(libraries, sizeof libraries, "%s/lib", folder);
    snprintf(loader, sizeof loader, "%s/" LOADER, libraries);
    snprintf(program, sizeof program, "%s/hearth", libraries);

    char **words = calloc((size_t)argc + 8, sizeof *words);
    if (!words)
        return give_up("start", program);
    int n = 0;
    words[n++] = loader;
    words[n++] = "--library-path";
    words[n++] = libraries;
    words[n++] = "--argv0";
    words[n++] = argc > 0 ? argv[0] : program;
    words[n++] = program;
    for (int i = 1; i < argc; i++)
        words[n++] = argv[i];
    execv(loader, words);
    return give_up("start", loader);
}
