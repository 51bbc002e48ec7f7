/* log_rows.h: recorded answers as the rows of a table, and as JSON. */
#pragma once
#include <jansson.h>

#include "record/recorded.h"

enum { LOG_CELL_BYTES = 160, LOG_N_COLUMNS = 12 };

/* How wide columns are; one in which nothing stands is left out. */
struct log_widths {
    int n_rows, of[LOG_N_COLUMNS];
};
void log_rows_measure(struct log_widths *w, const struct recorded_row *row);
/* On standard output. */
void log_rows_head(const struct log_widths *w);
void log_rows_print(const struct log_widths *w, const struct recorded_row *row);

/* Local time, "2026-11-27 08:30:01"; returns out. */
const char *log_time(int64_t time_ms, char out[LOG_CELL_BYTES]);

/* All columns, and the receipt; with the recording, if there is one. NULL: memory is out. */
json_t *log_row_json(const struct recorded_row *row, bool with_recording);
