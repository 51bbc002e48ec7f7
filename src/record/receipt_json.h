/* receipt_json.h: the receipt as the `hearth` object of every JSON answer (docs/receipt.md). */
#pragma once
#include <jansson.h>

#include "hearth/hearth.h"

/* How to print it: real numbers in this object mean at most 9 significant digits. */
#define RECEIPT_JSON_FLAGS (JSON_REAL_PRECISION(9) | JSON_COMPACT)

/* What tokens cost elsewhere, for equivalent_api_price. */
struct receipt_price {
    const char *model, *currency, *date;
    double input, output; /* of a million tokens */
};
/* Receipts have it from here on; NULL, as at first: they have none. Once, before there are receipts; it must outlive
 * them. */
void receipt_price_set(const struct receipt_price *price);

/* A new reference, or NULL when memory is out. Every key carries its unit; a figure that has no
 * meaning (a rate over no time) is null. */
json_t *receipt_to_json(const hearth_receipt *r);

/* Takes out what is a piece of a prompt or of a request: the tokens at which a prompt stopped being known, and texts
 * that a request gave. False: not all of it, for want of memory. */
bool receipt_without_texts(json_t *receipt);

/* The plan alone, as under "memory"; `hearth inspect --json` uses it. */
json_t *plan_to_json(const hearth_plan *plan);

/* Passes over the weights between the first token and the last: drafted tokens cost none. */
int receipt_decode_steps(const hearth_receipt *r);
/* Bytes that those read, by how fast the weights can be read; 0: not measured, no time to divide by, or
 * faster than what was measured, which others must have disturbed. */
double receipt_roof_share(const hearth_receipt *r);

/* "stop", "length", "cancelled", "error". Static. */
const char *finish_reason_name(hearth_end_reason reason);

/* The shortest decimal (6 to 9 digits) that is this float again: 0.8f gives 0.8. */
json_t *json_of_float(float v);
