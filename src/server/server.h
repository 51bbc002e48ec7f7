/* server.h: the HTTP server over one engine. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "hearth/hearth.h"
#include "record/plan_why.h"

struct preset;   /* api/preset.h */
struct recorder; /* record/recorder.h */

/* One of the models that are served. */
struct server_model {
    hearth_model *model;  /* borrowed; opened */
    const char *model_id; /* the name that clients see; no other has it, as a file's name neither */
    const char *file_id;  /* the file's own, without folders and .gguf */
    const struct preset *preset; /* what requests have that do not say it; NULL: nothing */
    struct plan_asked asked; /* of its plan */
};

/* Texts and models must live as long as the server. */
struct server_options {
    hearth_engine *engine;    /* borrowed; of the models */
    const struct server_model *models; /* [n_models], of one engine: 1 to 16 */
    int n_models;
    const char *host;         /* a name or an address; "unix:PATH": a Unix socket, without a port */
    int port;                 /* 0: a free one */
    const int *sockets;       /* [n_sockets] that listen already, instead; borrowed */
    int n_sockets;
    int n_parallel;           /* sequences of the engine, for each model */
    int n_queue;              /* requests that may wait besides, for whichever model */
    uint64_t n_queue_tokens;  /* of the prompts of those; 0: a window for each of n_parallel */
    int ping_ms;              /* comments in silent streams; 0: none */
    bool strict;              /* refuse fields that are unknown or have no effect */
    size_t body_max_bytes, memory_bytes;
    int n_connections;        /* at most */
    int n_per_address;        /* of them of one address, but for this machine's own; 0: all */
    int head_ms;              /* for the headers of a request */
    int request_ms;           /* for all of it; 0: as long as it takes */
    const char *settings_name; /* of the file that these options come from; NULL: none was read */
    int stall_ms;             /* an engine that does not get on for so long (and longer than steps take) is stalled */
    struct sandbox *sandbox;  /* borrowed; entered once the server listens, before anybody is answered */
    bool sandboxed;           /* else *sandbox only says what the kernel offers */
    const char *keys, *keys_name; /* text of the key file and its name; NULL: no keys */
    const char *const *allow_hosts, *const *allow_origins; /* origin.h */
    const char *const *trusted_proxies;                    /* forwarded.h */
    int n_allow_hosts, n_allow_origins, n_trusted_proxies; /* 16 each at most */
    const char *tls_cert, *tls_key; /* PEM: chain and key; NULL: no TLS */
    struct log *log;              /* borrowed; NULL: none */
    struct recorder *recorder;    /* the same: what is known of answers */
};

struct server; /* opaque */

/* All the memory that requests and connections may take: for the plan. Needs memory_bytes, n_connections and
 * tls_cert. */
uint64_t server_memory_bytes(const struct server_options *options);

/* Listen, and serve from threads of its own. jansson has json_in.h's functions for memory. HEARTH_ERR_USAGE,
 * HEARTH_ERR_IO (the port is in use, by whom), HEARTH_ERR_MEMORY. */
struct server *server_start(const struct server_options *options, hearth_error *err);

/* Whether only this machine reaches a server on that host: a Unix socket, or a name or address of loopback alone.
 * HEARTH_ERR_USAGE: it is no address. */
bool server_host_is_local(const char *host, bool *local, hearth_error *err);

/* What a person wants to know at the start: address, model, window, streams, memory, a curl line, lines of Python. */
void server_describe(const struct server *s, struct buf *out);

/* Keys from a file that was read again: from the next request on they count, and what runs goes on. HEARTH_ERR_USAGE:
 * the file is bad, and the keys stay as they were. A line in the log says which. Any thread, for servers with keys. */
bool server_read_keys(struct server *s, const char *text, const char *name, hearth_error *err);

/* What the engine does, into the log: queue, keys and values, who has each slot. Any thread; waits for no step. */
void server_dump(struct server *s);

/* Take no more requests; /ready says so. A server that was given its sockets leaves them to whoever has them, too: no
 * connection is taken any more, and what comes on those that are there is answered, once each. */
void server_drain(struct server *s);
/* Say so already, but take them. */
void server_leave(struct server *s);
/* Requests that are not answered yet; and while a server that was given its sockets ends, connections on which one is
 * expected. */
int server_n_active(struct server *s);
/* The engine gets on, or has nothing to do, and somebody looked lately. Waits for nothing. */
bool server_lives(const struct server *s);

/* End what still runs (its clients are told), and everything else. Before the engine is destroyed. NULL is a no-op. */
void server_stop(struct server *s);
