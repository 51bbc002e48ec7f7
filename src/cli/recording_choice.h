/* recording_choice.h: the recording that a word means: a file that `hearth export` wrote, or an answer in the database
 * of what was recorded. */
#pragma once
#include "cli/opts.h"
#include "record/recording.h"

/* word: the number of a row, "last", a file, or the X-Request-Id of a request that had one answer. record_dir: the
 * value of OPT_RECORD_DIR_ROW. HEARTH_ERR_USAGE: it means none, or several; HEARTH_ERR_IO, HEARTH_ERR_FORMAT. Release
 * with recording_free(). */
bool recording_choose(struct recording *out, const char *word, const struct opt_value *record_dir, hearth_error *err);
/* The same, and where no tokens were recorded the receipt alone: request is NULL then. */
bool receipt_choose(struct recording *out, const char *word, const struct opt_value *record_dir, hearth_error *err);
