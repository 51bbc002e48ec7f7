/* answer.h: reading one stream and printing it, as text or as one JSON object.
 *
 * The answer goes to standard output. What the model thinks before it goes to standard error: dimmed on a
 * terminal, and elsewhere only when asked for. */
#pragma once
#include <jansson.h>

#include "base/buf.h"
#include "cli/loading.h"
#include "cli/model_choice.h"
#include "hearth/hearth.h"

/* Where answers are recorded, and what they are called there. */
struct answer_record {
    struct recorder *recorder; /* NULL: nowhere */
    const char *source;        /* "run" */
    char model[MODEL_FILE_ID_BYTES];
};
/* What a request must ask for, so that its answer can be recorded. */
void answer_prepare(const struct answer_record *to, hearth_request *request);

struct answer {
    hearth_stream *stream; /* borrowed */
    const struct answer_record *record; /* NULL: it is not recorded */
    struct loading *loading; /* shown until the first event; NULL: not shown */
    bool json;             /* collect, print one object at the end; false: text as it comes */
    bool digest;           /* --json: with the key digest */
    bool keep;             /* collect text and thinking also without json */
    bool show_thinking;    /* also where standard error is no terminal */

    hearth_end_reason reason; /* valid after answer_read() */
    bool write_error;         /* standard output failed; the stream was cancelled */
    bool reader_gone;         /* ... because nobody reads it any more: no mistake of ours */
    bool out_of_memory;
    char last;                /* last byte written; 0: none */
    char last_thinking;    /* the same for thinking on standard error; 0 also once its line is ended */
    struct buf text, thinking;
    struct buf output, mixes; /* ids, and hearth_event.logits_mix, where they are recorded */
    json_t *ids;
};

/* Read events until the end. An interrupt or a failed write cancels the stream and reads on. */
void answer_read(struct answer *a);

/* The end of the line on a terminal, or the JSON object (with "thinking" when there was any). receipt: NULL if
 * there is none. */
void answer_finish(struct answer *a, const hearth_receipt *receipt);

/* To the recorder, if there is one. request: the one that the stream came from. */
void answer_keep(const struct answer *a, const hearth_request *request, const hearth_receipt *receipt);

void answer_free(struct answer *a);
