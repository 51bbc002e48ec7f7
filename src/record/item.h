/* item.h: a record on its way: a copy in one block, and the row that it becomes. */
#pragma once
#include "base/buf.h"
#include "record/database.h"
#include "record/recorder.h"

struct item {
    struct item *next;
    size_t bytes;        /* of memory */
    int64_t put_ns, time_ms;
    hearth_receipt receipt;
    hearth_stream *stream; /* NULL: the receipt is there */
    const char *key, *source, *model; /* into the block */
    int choice, status;
    bool has_body, has_mixes;
    struct buf prompt, output, mixes, parameters;
};

/* NULL: memory is out. A body that takes more than most_bytes is left out. */
struct item *item_new(const struct record *record, bool full, size_t most_bytes);
void item_free(struct item *i);
/* Its receipt is there now. False: look again later. Never blocks. */
bool item_ready(struct item *i);
/* json: room for the receipt, which the row leads into; to be freed in the end. False: memory is out. */
bool item_row(const struct item *i, bool full, struct buf *json, struct database_row *row);
