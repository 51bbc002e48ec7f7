/* download_wait.h: a pause that ends when the user does. */
#pragma once
#include "base/base.h"

/* False: stop() said so meanwhile. */
bool download_wait(int ms, bool (*stop)(void *arg), void *arg);
