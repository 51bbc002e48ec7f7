/* record_choice.h: whether answers are recorded, and where. */
#pragma once
#include "base/state_dir.h"
#include "cli/opts.h"
#include "record/recorder.h"

#define OPT_RECORD_ROW(usual)                                                                                  \
    {                                                                                                         \
        .name = "record", .type = OPT_CHOICE, .value = "off|receipts|full", .dflt = usual,                    \
        .help = "keep what is known of each answer, for hearth log: receipts, which have no text and no token of a " \
                "prompt or an answer; full, all its tokens besides, so that it can be computed again"         \
    }
#define OPT_RECORD_DIR_ROW                                                                                    \
    {                                                                                                         \
        .name = "record-dir", .type = OPT_TEXT, .value = "DIR",                                               \
        .dflt = "$STATE_DIRECTORY/record of a service, else $XDG_STATE_HOME/hearth/record, else "             \
                "~/.local/state/hearth/record",                                                               \
        .help = "the folder of what is recorded, for its owner alone; several servers may have the same"     \
    }
#define OPT_RECORD_DAYS_ROW                                                                                   \
    {                                                                                                         \
        .name = "record-days", .type = OPT_INT, .value = "N", .least = 1, .most = 36500, .dflt = "30",        \
        .help = "what was recorded longer ago is removed"                                                     \
    }
#define OPT_RECORD_DISK_ROW                                                                                   \
    {                                                                                                         \
        .name = "record-disk", .type = OPT_INT, .value = "MB", .least = 4, .most = 1 << 30, .dflt = "1024",   \
        .help = "the most that the file of what is recorded may have; the oldest goes first"                  \
    }

enum record_mode { RECORD_OFF, RECORD_RECEIPTS, RECORD_FULL };
enum { RECORD_DIR_BYTES = STATE_DIR_BYTES };

enum record_mode record_mode_of(const struct opt_value *record, enum record_mode usual);
/* The folder: the one that was given, or the usual one. False: there is none, and *err says what could name it. */
bool record_place(char out[RECORD_DIR_BYTES], const struct opt_value *dir, hearth_error *err);

/* NULL: nothing is to be recorded; or nothing can be, which is said. notes go through say(). */
struct recorder *record_begin(enum record_mode mode, const struct opt_value *dir, const struct opt_value *days,
                              const struct opt_value *disk);
