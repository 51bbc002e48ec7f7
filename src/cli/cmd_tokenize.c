/* cmd_tokenize.c: the tokens of standard input by a file's own vocabulary. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "cli/model_choice.h"
#include "cli/text_ids.h"
#include "cli/token_lines.h"

enum { MODEL, IDS, SPECIAL, BOS, N_OPTS };

static const struct opt options[N_OPTS] = {
    [MODEL] = OPT_MODEL_ROW,
    [IDS] = { .name = "ids", .type = OPT_FLAG, .help = "only the ids, on one line, spaces between" },
    [SPECIAL] = { .name = "special", .type = OPT_FLAG,
                  .help = "texts of special tokens (<|eot_id|>) become those tokens; only for text you trust" },
    [BOS] = { .name = "bos", .type = OPT_FLAG, .help = "begin with the BOS token if the file asks for one" },
};

enum { LIMIT_BYTES = 256 << 20 };

struct text {
    char *ptr;
    size_t n;
};

static void print_ids(const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        printf(i ? " %" PRId32 : "%" PRId32, ids[i]);
    putchar('\n');
}

static int run(const struct args *a)
{
    struct model_choice choice;
    hearth_error err = { 0 };
    struct text text = { 0 };
    int32_t *ids = NULL;
    size_t n = 0;
    int code = EXIT_DONE;
    if (!model_choose(&choice, &cmd_tokenize, a->word[0], &a->value[MODEL]))
        return EXIT_USAGE;
    if (!choice.from_line)
        model_say(&choice);

    hearth_file *file = hearth_file_open(&choice.source, &err);
    if (!file)
        return model_report(&choice, &err);
    if (isatty(STDIN_FILENO))
        say("reading the text from the terminal; Ctrl-D ends it");
    if (!file_read_fd(STDIN_FILENO, "standard input", LIMIT_BYTES, &text.ptr, &text.n, &err)
        || !text_ids(file, text.ptr, text.n, a->value[SPECIAL].on, a->value[BOS].on, &ids, &n, &err)) {
        code = report(&err);
    } else if (a->value[IDS].on) {
        print_ids(ids, n);
    } else if (!token_lines_print(file, ids, n, &err)) {
        code = report(&err);
    }
    mem_free(ids);
    mem_free(text.ptr);
    hearth_file_close(file);
    return code;
}

const struct command cmd_tokenize = {
    .name = "tokenize",
    .positionals = "[MODEL]",
    .max_words = 1,
    .summary = "the tokens of standard input, by the model's vocabulary",
    .about = "Standard input is taken byte for byte, a newline at its end included. Without options one token a line:\n"
             "its id and its text; nothing is added and special tokens are plain text. Works on every GGUF file with\n"
             "a tokenizer that hearth knows, whatever its architecture, with or without tensors.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
