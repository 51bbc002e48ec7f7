/* products.c: what a model's weights are multiplied with, for tools/golden_codes.py.
 *
 *   products MODEL OUT < lines of token ids
 *
 * One line is one prompt. Standard output: a line "id:logprob ..." for each, of the 50 likeliest next tokens. OUT: for
 * each product of it the tensor's name in 64 bytes, int32 rows and columns, and the rows as f32; after a prompt the
 * name END with 0 rows. Native byte order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hearth/hearth.h"

enum { NAME_BYTES = 64, MOST_IDS = 512 };

static void put(FILE *out, const char *text, size_t n_text, int n_rows, int n_cols)
{
    char name[NAME_BYTES] = "";
    int32_t size[2] = { n_rows, n_cols };
    memcpy(name, text, n_text < NAME_BYTES ? n_text : NAME_BYTES - 1);
    fwrite(name, sizeof name, 1, out);
    fwrite(size, sizeof size, 1, out);
}

static void see(void *arg, const hearth_product *p)
{
    put(arg, p->tensor.text, p->tensor.n_bytes, p->n_rows, p->n_cols);
    fwrite(p->x, sizeof *p->x, (size_t)p->n_rows * (size_t)p->n_cols, arg);
}

static bool answer(hearth_model *model, char *line, hearth_error *err)
{
    int32_t ids[MOST_IDS];
    hearth_request r = { .prompt_ids = ids, .max_tokens = 1, .n_alternatives = 50, .ignore_eos = true,
                         .no_prefix_cache = true };
    hearth_sampling_defaults(NULL, &r.sampling, NULL);
    r.sampling.temperature = 0;
    for (char *word = strtok(line, " \n"); word && r.n_prompt_ids < MOST_IDS; word = strtok(NULL, " \n"))
        ids[r.n_prompt_ids++] = (int32_t)strtol(word, NULL, 10);
    hearth_event e;
    hearth_stream *s = hearth_submit(model, &r, err);
    if (!s)
        return false;
    bool ok = hearth_stream_next(s, &e) && e.type == HEARTH_EVENT_TOKEN;
    for (int i = 0; ok && i < e.n_alternatives; i++)
        printf("%d:%.7f ", e.alternatives[i].id, (double)e.alternatives[i].logprob);
    putchar('\n');
    hearth_stream_close(s);
    return ok;
}

int main(int argc, char **argv)
{
    static char line[8192];
    hearth_error err = { 0 };
    FILE *out = argc == 3 ? fopen(argv[2], "wb") : NULL;
    if (!out) {
        fputs("usage: products MODEL OUT < lines of token ids\n", stderr);
        return 2;
    }
    hearth_engine *engine = hearth_engine_create(NULL, &err);
    hearth_model_options options = { .source.path = argv[1], .on_product = see, .on_product_arg = out };
    hearth_model *model = engine ? hearth_model_open(engine, &options, &err) : NULL;
    bool ok = model != NULL;
    while (ok && fgets(line, sizeof line, stdin)) {
        ok = answer(model, line, &err);
        put(out, "END", 3, 0, 0);
    }
    if (!ok)
        fprintf(stderr, "%s\n", err.message);
    hearth_model_release(model);
    hearth_engine_destroy(engine);
    return fclose(out) == 0 && ok ? 0 : 1;
}
