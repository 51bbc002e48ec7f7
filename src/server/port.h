/* port.h: the socket that a server listens on. */
#pragma once
#include <sys/socket.h>

#include <sys/socket.h>

#include "base/err.h"

/* Listen on host (a name or an address, "0.0.0.0" for all) and port (0: a free one, *port says which).
 * HEARTH_ERR_USAGE for a host that is none of this machine; HEARTH_ERR_IO for a port that is in use, with the program
 * that has it where the system tells. Returns the socket, -1. */
int port_listen(const char *host, int *port, hearth_error *err);
/* The next connection that waits there, not inherited by other programs; -1: none, or no descriptor for it. */
int port_accept(int listening, struct sockaddr_storage *from, socklen_t *from_bytes);
