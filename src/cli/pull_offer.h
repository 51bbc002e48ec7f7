/* pull_offer.h: a model that is not here, fetched now, if whoever sits at the terminal says so. */
#pragma once
#include "base/base.h"

/* `hearth pull REFERENCE --plan` says what it would be, then one question. Each pull is a process of its own, since it
 * gives up its rights (docs/models-store.md). config: the settings file, "": none. True: it was fetched; false: nobody
 * is there to be asked, the answer was no, or a pull said why not. */
bool pull_offer(const char *reference, const char *store, const char *config);
