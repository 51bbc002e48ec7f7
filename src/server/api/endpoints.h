/* endpoints.h: every endpoint by name; routes.def says where they are. */
#pragma once
#include "server/api/endpoint.h"

#define ROUTE(method, path, name, access) extern const struct endpoint endpoint_##name;
#include "server/routes.def"
