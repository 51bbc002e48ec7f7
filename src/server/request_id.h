/* request_id.h: the id of a request, the same in its answer, its receipt and /hearth/requests/. */
#pragma once
#include "hearth/hearth.h"
#include "server/guard.h"

enum { REQUEST_ID_ROOM = HEARTH_REQUEST_ID_BYTES + 1 };

/* The one that the client gave (X-Request-Id), or a new one. False: what it gave cannot be one, and was not taken. */
bool request_id_make(const struct head *h, char id[REQUEST_ID_ROOM]);

/* The part of it that stands behind the prefix of an answer's id: "req-..." is ours. */
const char *request_id_bare(const char *id);

/* What a client says is this id: as it is, without our prefix, or as the id of an answer. */
bool request_id_is(const char *id, const char *said);
