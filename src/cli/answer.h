/* answer.h: reading one stream and printing it, as text or as one JSON object. */
#pragma once
#include <jansson.h>

#include "base/buf.h"
#include "hearth/hearth.h"

struct answer {
    hearth_stream *stream; /* borrowed */
    bool json;             /* collect, print one object at the end; false: text as it comes */
    bool digest;           /* --json: with the key digest */

    hearth_end_reason reason; /* valid after answer_read() */
    bool write_error;         /* standard output failed; the stream was cancelled */
    bool reader_gone;         /* ... because nobody reads it any more: no mistake of ours */
    bool out_of_memory;
    char last;                /* last byte written; 0: none */
    struct buf text;
    json_t *ids;
};

/* Read events until the end. An interrupt or a failed write cancels the stream and reads on. */
void answer_read(struct answer *a);

/* The end of the line on a terminal, or the JSON object. receipt: NULL if there is none. */
void answer_finish(struct answer *a, const hearth_receipt *receipt);

void answer_free(struct answer *a);
