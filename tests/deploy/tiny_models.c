/* tiny_models.c: a small model of each architecture that this build runs, with random weights.
 *
 *   tiny_models FOLDER CONTEXT
 *
 * Writes FOLDER/NAME.gguf for every NAME of arch.def, and says their names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "../unit/tiny.h"

int main(int argc, char **argv)
{
    enum { MOST = 64 };
    const char *names[MOST];
    if (argc != 3) {
        fprintf(stderr, "usage: tiny_models FOLDER CONTEXT\n");
        return 64;
    }
    size_t n = hearth_architectures(names, MOST);
    for (size_t i = 0; i < n && i < MOST; i++) {
        char path[4096];
        struct tiny tiny = { .arch = names[i], .type = DTYPE_q8_0, .n_ctx = atoi(argv[2]) };
        snprintf(path, sizeof path, "%s/%s.gguf", argv[1], names[i]);
        tiny_write(path, &tiny);
        printf("%s\n", names[i]);
    }
    return 0;
}
