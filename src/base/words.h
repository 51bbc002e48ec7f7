/* words.h: how far one word is from another: for "did you mean". */
#pragma once
#include "base/base.h"

/* Edits between two words: insert, delete or replace one byte; '_' is '-'. Words of more than WORD_LONGEST bytes are
 * WORD_LONGEST away from any other. */
enum { WORD_LONGEST = 127 };
int word_distance(const char *a, const char *b);
