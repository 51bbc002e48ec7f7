/* port.h: the socket that a server listens on. */
#pragma once
#include <sys/socket.h>

#include "base/err.h"

/* Listen on host (a name or an address, "0.0.0.0" for all) and port (0: a free one, *port says which).
 * HEARTH_ERR_USAGE for a host that is none of this machine; HEARTH_ERR_IO for a port that is in use, with the program
 * that has it where the system tells. Returns the socket, -1. */
int port_listen(const char *host, int *port, hearth_error *err);
/* Of a Unix socket ("unix:PATH"): what a path is behind it, NULL: it is no such host. Its file is for its owner and
 * group; one that nobody listens on any more is replaced. */
const char *port_unix_path(const char *host);
/* Which file it is, and its removal if it is still that one. */
uint64_t port_file(const char *host); /* 0: none */
void port_remove_file(const char *host, uint64_t file);
/* Connections are not taken before their first bytes are there, or a second has passed. */
void port_wait_for_bytes(int listening);
/* Where a socket listens: an address and its port, or "unix:" and a path and port 0. */
enum { PORT_HOST_BYTES = 160 };
void port_describe(int fd, char host[PORT_HOST_BYTES], int *port);
/* The next connection that waits there, not inherited by other programs; -1: none, or no descriptor for it. */
int port_accept(int listening, struct sockaddr_storage *from, socklen_t *from_bytes);
void port_refuse_plain(int fd); /* in words, who speaks HTTP where TLS is spoken */
