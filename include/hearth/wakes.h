/* wakes.h: one signal for all streams that a step woke; for programs that read many on one thread. Beside hearth.h. */
#pragma once

#include "hearth/hearth.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* ring is called when wake callbacks of streams (hearth_stream_on_wake) have been, on the thread that called them: once
 * for all that a step brought, after the last of them. So those may note whom to look at, and ring wakes who looks. It
 * may only signal. When this returns none of the earlier ring is under way and none will be (NULL: none at all). Any
 * thread, but not from ring. */
void hearth_engine_on_wakes(hearth_engine *engine, void (*ring)(void *arg), void *arg);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
