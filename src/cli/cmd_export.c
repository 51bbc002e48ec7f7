/* cmd_export.c: a recorded answer as a file of its own, for another machine. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "cli/command.h"
#include "cli/record_choice.h"
#include "cli/recording_choice.h"
#include "record/receipt_json.h"

enum { RECORD_DIR, REDACT, N_OPTS };

static const struct opt options[N_OPTS] = {
    [RECORD_DIR] = OPT_RECORD_DIR_ROW,
    [REDACT] = { .name = "redact", .type = OPT_FLAG, .help = "leave out the tokens, the texts of the request and its "
                 "id: where time and memory went can then be shown to anybody, and not be computed again" },
};

static int put_piece(const char *bytes, size_t n, void *writer)
{
    file_write(writer, bytes, n);
    return 0; /* failures are sticky */
}

static bool write_file(const struct recording *r, const char *path, hearth_error *err)
{
    struct file_writer w;
    json_t *json = recording_to_json(r);
    if (!json)
        return fail_memory(err, "the recording");
    if (!file_writer_open_private(&w, path, err)) {
        json_decref(json);
        return false;
    }
    bool ok = json_dump_callback(json, put_piece, &w, RECEIPT_JSON_FLAGS) == 0;
    file_write(&w, "\n", 1);
    json_decref(json);
    if (ok)
        return file_writer_commit(&w, err);
    file_writer_abort(&w);
    return fail_memory(err, "the recording");
}

static int run(const struct args *a)
{
    struct recording r;
    hearth_error err = { 0 };
    if (a->n_words < 2)
        return usage_error(&cmd_export, "RECORD and FILE are needed: what is to be written, and where");
    if (!recording_choose(&r, a->word[0], &a->value[RECORD_DIR], &err))
        return report(&err);
    bool ok = (!a->value[REDACT].on || recording_redact(&r) || fail_memory(&err, "the recording"))
              && write_file(&r, a->word[1], &err);
    recording_free(&r);
    return ok ? EXIT_DONE : report(&err);
}

const struct command cmd_export = {
    .name = "export",
    .positionals = "RECORD FILE",
    .max_words = 2,
    .summary = "a recorded answer as a file, which replay reads on any machine",
    .about = "RECORD is the number of a row of `hearth log`, the X-Request-Id of a request, or `last`, and was\n"
             "recorded in full (--record full of serve, run or chat). FILE becomes one JSON object: the receipt,\n"
             "the request's limits, the tokens in and out and a hash of the logits of each. Tokens are text:\n"
             "whoever has the file can read prompt and answer, so it is made for its owner alone. --redact leaves\n"
             "them out.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run,
};
