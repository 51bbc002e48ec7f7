/* core.h: requests between the socket and the engine.
 *
 * Three threads and the engine's meet here.
 *   http     runs libmicrohttpd: bytes in and out, the state of every exchange (server.c, admit.c, pump.c)
 *   work     one request at a time: JSON to the neutral request, template and tokens for the endpoints that want no
 *            answer of the model, submitting (work.c)
 *   watch    vanished clients, pings, deadlines (watch.c)
 * An exchange belongs to the http thread, but for the time it is in the phase X_WORKING: then to the work thread. What
 * the others may touch is atomic. The engine calls exchange_woken() and rouse() only. */
#pragma once
#include <assert.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/machine.h"
#include "base/memory_pressure.h"
#include "base/thread.h"
#include "server/addresses.h"
#include "server/forwarded.h"
#include "server/guard.h"
#include "server/origin.h"
#include "server/request_id.h"
#include "server/route.h"
#include "server/server.h"

enum phase {
    X_FREE,
    X_READING, /* the body comes */
    X_WORKING, /* the work thread has it */
    X_RUNNING, /* streams of the engine, or what is left of them to send */
    X_READY,   /* `problem` or `out` is the whole answer */
};

/* What an exchange has cost until now; http thread. */
struct tally {
    int64_t prompt_tokens, cached_tokens, output_tokens;
    double queue_ms, first_token_ms, slot_ms; /* the longest wait, the soonest first token, all slots; has_times */
    bool has_times; /* an answer came to its end */
};

/* What is recorded of an answer. */
struct tape {
    struct buf output, mixes; /* ids, and hearth_event.logits_mix */
    bool lost;                /* there was no memory for it */
};

/* A model that wakes, for whoever is told how far it is (wake.c). */
struct waking {
    int64_t start_ns, came_ns, read_ns; /* came_ns: more of it was there; read_ns: of the first look at that, 0: none */
    uint64_t n_wakes, n_read, first_bytes;
};

struct exchange {
    struct server *server;
    atomic_int phase;
    struct lock wake_lock;
    bool asleep;          /* under it: the connection waits for a wake */
    unsigned n_wakes;     /* under it */
    struct exchange *next_woken; /* rouse.c */
    atomic_bool gone;     /* the client */
    atomic_bool stopping; /* the server: what runs ends with an error */
    atomic_bool cancelled; /* by somebody who knows its id */
    atomic_bool ping_due;
    atomic_llong last_write_ns, ping_ns; /* of a stream; ping_ns 0: no pings */
    atomic_llong deadline_ns; /* 0: none */
    atomic_bool late;         /* it has passed */
    bool cut;                 /* that was acted upon */
    void *connection;     /* libmicrohttpd's */
    int fd;
    atomic_uint serial;   /* of this use: an event of the last one does not count */
    struct exchange *next; /* free, or in the queue of work */

    const struct route *route;
    struct key *key;
    struct ip client; /* behind trusted proxies; IP_NONE: unknown */
    char id[REQUEST_ID_ROOM];
    bool id_refused; /* the client gave one that is none */
    int64_t start_ns, submit_ns; /* headers, handed to the engine; 0: it was not */
    struct tally tally;
    int model;         /* whose it is, once its body is read */
    bool generates, placed; /* placed: counted among those of its model */
    size_t reserved_bytes; /* of the memory for requests */
    size_t uncounted_bytes; /* of a body that is not with the engine yet, in the server's unread_bytes */

    struct waking waking;

    char explained[HEARTH_REQUEST_ID_BYTES + 16]; /* the id of the answer that is to be explained */
    int explain[N_EXPLAIN_PARAMETERS];
    bool sees_all; /* who asks may see what everybody asked */

    char *body; /* mem_alloc'ed */
    size_t body_bytes, body_room, n_scanned_bytes;
    bool chunked;

    struct ask ask;
    struct reply reply;
    hearth_stream **streams; /* [n_streams] mem_alloc'ed; those that ended are closed and NULL */
    int n_streams, n_submitted; /* of inputs that become vectors not all at once */
    struct tape *tapes; /* [n_streams] mem_alloc'ed; NULL: bodies are not recorded */
    bool begun, ended; /* the answer, as a stream */
    bool answered;     /* the client has all of it, or of the refusal */
    struct buf out;
    size_t n_sent;
    struct problem problem; /* code PROBLEM_none: none */
};

/* Of a body there are at most so many copies: the request's, the engine's, and the values that a template gets; before
 * them the body itself. */
enum { BODY_COPIES = 3 };

/* Memory for requests: a number that is counted down. */
struct request_memory {
    atomic_size_t used;
    size_t most;
};
bool memory_take(struct request_memory *m, size_t bytes);
void memory_give(struct request_memory *m, size_t bytes);

/* A connection, for its deadlines. */
enum peer_state { PEER_NEW, PEER_IDLE, PEER_HEAD, PEER_BODY, PEER_BUSY };
struct peer {
    struct peer *next, *previous;
    int fd;
    enum peer_state state;
    struct address from;
    struct ip ip, local; /* its own address, and the one at which it came; IP_NONE: through a Unix socket */
    struct ip client;    /* who asks: of the request that is under way, behind a trusted proxy; else `ip` */
    struct address asker; /* the same, while `asking`: counted */
    bool asking;
    bool looked_for; /* whether it is there still, since since_ns */
    int64_t since_ns;
    uint64_t n_bytes; /* of the body */
};

/* One of the models: what endpoints need not know. What they may is in the view of the same number. */
struct served {
    hearth_model *model;
    hearth_file *file;
    char fingerprint[64];
    atomic_int n_active; /* requests to generate, from when their body is read */
    atomic_ullong n_completed, prompt_tokens, cached_tokens, output_tokens, prompt_us, output_us;
    uint64_t n_preemptions, n_draft_tokens, n_accepted_tokens; /* http thread, and what follows */
    struct times queue, first_token;
};

/* The request that is answered now, for its line in the log; http thread. */
struct asking {
    const struct key *key;     /* NULL: none */
    const struct exchange *exchange; /* its line comes when it ends; NULL: it has none, and its line with the answer */
    const char *method, *path; /* as they came */
    struct ip client;
    int64_t start_ns;
};

/* What the watch thread knows of the engine's life (vigil.c). The last four are for everybody. */
struct vigil {
    uint64_t n_beats;
    int64_t beat_ns; /* when they were seen to change */
    _Atomic double still_ms, patience_ms; /* no beat since; how long that may be */
    atomic_bool stalled;
    atomic_llong looked_ns;
};

/* What the watch thread knows of the memory around the server (relief.c). What is atomic is for everybody. */
struct relief {
    struct memory_pressure pressure;
    hearth_given said[HEARTH_N_GIVES]; /* the log has it, since */
    int64_t said_ns[HEARTH_N_GIVES];
    atomic_bool is_short;
    atomic_ullong n_shortages, limit_bytes, used_bytes;
    _Atomic double stalled_percent; /* below 0: the system does not say */
};

/* A connection that was accepted on another thread. */
struct came_in {
    int fd;
    socklen_t n;
    struct sockaddr_storage from;
};

/* What the http thread waits for and is to do. The answers of a step wake it once, together: each on its own they
 * cost as much as what is sent. */
enum { ROUSE_SOCKETS = 64 };
struct rouse {
    int epoll, event; /* fds */
    struct lock lock; /* guards what follows */
    struct exchange *first, *last; /* that sleep still, and were woken */
    struct came_in sockets[ROUSE_SOCKETS];
    int n_sockets;
};

struct server {
    struct server_options options;
    struct view *views;    /* [options.n_models] */
    struct served *served; /* the same */
    struct keys keys;
    struct origin_rules rules; /* gate.h */
    struct proxies proxies;
    struct keys *_Atomic fresh_keys; /* read again, for the http thread to take; NULL: none */
    struct request_memory memory;
    int port;
    int64_t start_ns, started_s;
    atomic_bool leaving, draining, stop; /* leaving: /ready says so; draining: no requests are taken */
    struct rouse rouse;
    struct thread http;
    atomic_bool http_stop;
    bool any_closed; /* http thread: connections, since it was looked at */

    struct exchange *exchanges; /* [n_exchanges]; they stay while the server lives, so a late wake is harmless */
    int n_exchanges;
    struct exchange *free; /* http thread */
    struct addresses addresses; /* http thread */
    struct key *answering; /* http thread: whose limits go with the answer; NULL: nobody's */
    struct asking asking;
    struct usage usage;                        /* http thread: of all */
    struct usage_row rows[GUARD_MAX_KEYS];     /* http thread: for a page that is being made */

    /* http thread: what is admitted, and how fast it goes. */
    int n_active; /* that generate */
    atomic_size_t unread_bytes; /* of bodies that are not with the engine yet */
    double drain_s; /* between two that were done, while others waited; smoothed */
    int64_t last_done_ns;

    struct lock work_lock;
    struct exchange *work_first, *work_last;
    struct thread work, watch;

    struct lock peer_lock;
    struct peer *peers;
    int watch_epoll, watch_event; /* fds */
    atomic_int listen;            /* fd, while the daemon takes connections; else 0 */
    atomic_int n_more;            /* further sockets, as long as connections are taken: options.sockets[1] and so on */
    atomic_bool taking;           /* the watch thread is in server_take_waiting() */

    struct vigil vigil;
    struct relief relief;
    uint64_t n_turns_seen; /* watch thread: of the engine's models */

    int n_connections_most;
    atomic_int n_connections, n_running;
    atomic_ullong n_requests, n_completed, n_failed, n_cancelled, n_refused, n_turned_away;

    void *daemon; /* libmicrohttpd's */
    char said[200]; /* by it, at the start */
    uint64_t socket_file; /* of a Unix socket */
};

/* server.c; watch thread: a connection that waits is given to libmicrohttpd. False: it has gone, or may not be, or
 * there is no descriptor for it. */
bool server_take_waiting(struct server *s, int socket); /* the number of the socket, 0 for the only one */
/* server.c: wake the connection if it sleeps. Any thread. */
void exchange_wake(struct exchange *x);
/* The same at the next rouse(). */
void exchange_woken(void *exchange);
/* The work thread is done with it: from here on it is the http thread's. */
void exchange_worked(struct exchange *x, enum phase phase);

/* admit.c; http thread. */
bool admit(struct server *s, struct exchange **out, const struct route *route, struct key *key,
           const struct body_frame *frame, struct problem *p);
/* After one of its inputs: the next one that waits. False: the problem is set. http thread. */
bool exchange_submit_next(struct exchange *x);
void exchange_submitted(struct exchange *x); /* its prompt is with the engine; also the work thread */
void exchange_release(struct exchange *x); /* everything goes; the slot is free */
void load_read(const struct server *s, struct load_figures *out);
/* Of a refusal because others are there: when to come back, by how fast it went until now. Else nothing. */
void retry_estimate(const struct server *s, struct problem *p);

/* served.c */
bool served_fill(struct server *s, hearth_error *err);
void served_free(struct server *s);
/* Work thread: the model that a body names, in x->model, and for requests that generate a place there. Refused: no such
 * model, and one with as many requests as may wait. */
bool served_choose(struct exchange *x, const json_t *body, struct problem *p);
/* The same, of the model with this number. */
bool served_take(struct exchange *x, int model, struct problem *p);
void served_leave(struct exchange *x); /* gives the place back; http thread */
const struct view *served_view(const struct exchange *x);
void served_count(struct exchange *x, const hearth_receipt *r);
/* n_active: requests to generate, those that are still being read among them. */
void served_load(struct server *s, int n_active, struct load_figures *out);
static inline int server_slots(const struct server *s) { return s->options.n_parallel * s->options.n_models; }

/* usage.c; http thread. */
void usage_begin(struct exchange *x); /* admitted */
/* One of its answers has ended. */
void usage_take(struct exchange *x, int i, const hearth_receipt *r);
void usage_end(struct exchange *x);   /* all of it, and before anything of it is freed */
/* One that is not admitted. key: may be NULL. */
void usage_refuse(struct server *s, const struct route *route, struct key *key, const struct problem *p);
/* What the key (NULL: there are none) may see of it. */
void usage_show(struct server *s, const struct key *key, struct load_figures *out);
void usage_take_keys(struct server *s); /* that were read again */
void times_add(struct times *t, double ms);

/* tape.c: what the flight recorder gets. */
void tape_begin(struct exchange *x); /* its streams are about to be made; work thread */
void tape_token(struct exchange *x, int i, const hearth_event *e);
void tape_end(struct exchange *x, int i, const hearth_event *e, const hearth_receipt *receipt);
void tape_leave(struct exchange *x); /* streams that did not end are the recorder's from here on */
void tape_free(struct exchange *x);

/* journal.c; http thread: a line in the log. */
void journal_exchange(const struct exchange *x); /* at its end, after usage_end() */
int exchange_status(const struct exchange *x); /* of HTTP; 0: nobody was there any more to be told one */
void journal_turns(struct server *s); /* models that woke or went to sleep since the last call; watch thread */
void journal_answer(struct server *s, int status, const char *id, const struct problem *p);
static inline void journal_asks(struct server *s, const char *method, const char *path, const struct exchange *x)
{
    s->asking = (struct asking){ .exchange = x, .method = method, .path = path, .start_ns = clock_ns() };
}

/* again.c; work thread: find what was recorded of x->explained, and ask the engine for it once more. */
bool again_read(struct exchange *x, struct problem *p);

/* rouse.c */
bool rouse_open(struct server *s, hearth_error *err);
bool rouse_by(struct server *s, int fd, hearth_error *err); /* also when it is readable */
void rouse_close(struct server *s);
void rouse(void *server);                  /* any thread: the http thread goes on; NULL is none */
void rouse_wait(struct server *s, int ms); /* until then; -1: for ever */
void rouse_add(struct exchange *x);        /* any thread; for the next rouse() */
struct exchange *rouse_take(struct server *s); /* a chain of all, next_woken */
int rouse_n_sockets(struct server *s);
void rouse_add_socket(struct server *s, const struct came_in *socket); /* at most ROUSE_SOCKETS; watch thread */
bool rouse_take_socket(struct server *s, struct came_in *out);

/* work.c */
bool work_start(struct server *s, hearth_error *err);
bool work_push(struct server *s, struct exchange *x); /* false: the thread has ended */
void work_stop(struct server *s);

/* pump.c; http thread. Take events of the engine that are there, at most about PUMP_BYTES of text. False: there are
 * none. Sets x->ended with the last one, x->problem with a failure. */
enum { PUMP_BYTES = 32 << 10 };
bool exchange_pump(struct exchange *x);
void exchange_begin_stream(struct exchange *x);
/* Its deadline has passed. False always. */
bool refuse_late(const struct exchange *x, struct problem *p);
/* The engine's error as a refusal. */
void problem_of_error(struct problem *p, const hearth_error *err);

/* wake.c; http thread. The model that the path names, in *v, wakes or sleeps soon. */
bool wake_tell(struct server *s, int tells, const char *tail, const struct view **v, struct problem *p);
/* x is a stream from here on of how x->model wakes. What exchange_pump() is for such. */
void wake_begin(struct exchange *x);
bool wake_pump(struct exchange *x);

/* vigil.c */
enum { STALL_MS = 30000 }; /* the least time without a beat after which the engine counts as stalled */
double vigil_patience_ms(int floor_ms, double longest_step_ms);
void vigil_look(struct server *s, int64_t now_ns); /* watch thread */
bool vigil_stalled(const struct server *s);        /* as it was at the last look; any thread */

/* relief.c */
void relief_open(struct server *s, const char *root); /* memory_pressure.h; before files cannot be opened any more */
void relief_close(struct server *s);
void relief_look(struct server *s); /* watch thread */
void relief_show(struct server *s, enum memory_seen seen, struct memory_figures *out);

/* watch.c */
enum { WATCH_MS = 1000 }; /* how often it looks at deadlines, if none is nearer */
bool watch_start(struct server *s, hearth_error *err);
void watch_stop(struct server *s);
void watch_client(struct exchange *x);   /* from now on; http thread */
void watch_forget(struct exchange *x);
void watch_look(struct server *s);       /* a deadline is nearer than it was */
int watch_expected(struct server *s); /* connections that have begun a request, or were made just now */
struct peer *peer_open(struct server *s, int fd);
void peer_close(struct server *s, struct peer *p);
void peer_set(struct server *s, struct peer *p, enum peer_state state);
