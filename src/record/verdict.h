/* verdict.h: what an answer's time went to, in one line of plain words, from its receipt alone. */
#pragma once
#include "hearth/hearth.h"

enum verdict_kind {
#define VERDICT(kind, name, help) VERDICT_##kind,
#include "record/verdicts.def"
    N_VERDICTS
};

enum { RECEIPT_VERDICT_BYTES = 400 };
/* text: "memory-bound: ...", what would help in the same sentence. A pure function. */
enum verdict_kind receipt_verdict(const hearth_receipt *r, char *text, size_t room);
/* "memory-bound". Static. */
const char *verdict_name(enum verdict_kind kind);
