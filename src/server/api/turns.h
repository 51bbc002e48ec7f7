/* turns.h: what the API says of a model that sleeps or is awake. */
#pragma once
#include "server/api/reply.h"
#include "server/api/view.h"

/* "ready": awake, "asleep": the next request wakes it; and why, and how often that was. */
void turns_put(struct json_out *o, const hearth_model_now *now);
