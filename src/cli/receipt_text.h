/* receipt_text.h: the receipt for people, on standard error. */
#pragma once
#include "hearth/hearth.h"

/* One line: prompt, time to the first token, rates, memory. */
void receipt_print_figures(const hearth_receipt *r);
/* Everything the JSON receipt has, one line for each of its keys. */
void receipt_print_all(const hearth_receipt *r);
