/* load.c: clients of a server, as many as wanted, on one thread.
 *
 *   bench_load --port P [--host 127.0.0.1] [--clients 8] [--seconds 10] [--warm 1] [--requests 0] [--drain 60]
 *              [--prompt-words 16] [--max-tokens 32] [--stream PERCENT] [--idle N] [--half N] [--health N]
 *
 * Each client sends a request to /v1/completions, waits for its answer, and sends the next: a closed loop. Refused with
 * 429 or 503 it waits as long as Retry-After says, and sends another. The first requests are spread over --warm. A
 * prompt is words drawn by the request's number, so none begins like another. --requests ends it after so many; else
 * no request begins after --seconds, and those that run may end (--drain). SIGTERM: what runs is cut, and counted as
 * that.
 * --idle opens connections that say nothing, --half ones that send half a head; both are kept (and opened again when
 * the server closes them). --health asks /health so many times, one after the other, each on a connection of its own.
 *
 * One line of JSON at the end. sent = completed + refused + failed + cut. requests_per_s: answers that ended between
 * --warm and --seconds. tokens_per_s: tokens made between these two, of answers that came to their end, also later; an
 * answer's are spread evenly over the time that the server says it took (timings.predicted_ms, until its end). "steady"
 * is what came while every client had its first token and none its last. Times are the client's, in ms: refusals from
 * connect() (or the first byte, on a connection that is there) to the whole answer; first tokens from there to the
 * first event with text. cpu_s: this program's own processor time, which where it runs beside the server is not the
 * server's. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ_BYTES = 64 << 10, EVENTS = 256, HEALTH_PAUSE_MS = 5, REOPEN_MS = 200 };

/* ---- what is wanted ---- */

static struct {
    const char *host;
    long port, clients, requests, prompt_words, max_tokens, stream_percent, idle, half, health;
    double seconds, warm, drain;
} want = { .host = "127.0.0.1", .clients = 8, .prompt_words = 16, .max_tokens = 32, .seconds = 10, .warm = 1,
           .drain = 60 };

static const struct { const char *name; long *whole; double *real; } words[] = {
    { "--port", &want.port, NULL }, { "--clients", &want.clients, NULL }, { "--requests", &want.requests, NULL },
    { "--prompt-words", &want.prompt_words, NULL }, { "--max-tokens", &want.max_tokens, NULL },
    { "--stream", &want.stream_percent, NULL }, { "--idle", &want.idle, NULL }, { "--half", &want.half, NULL },
    { "--health", &want.health, NULL }, { "--seconds", NULL, &want.seconds }, { "--warm", NULL, &want.warm },
    { "--drain", NULL, &want.drain },
};
enum { N_WORDS = sizeof words / sizeof *words };

static void die(const char *what)
{
    fprintf(stderr, "bench_load: %s\n", what);
    exit(2);
}

static void read_words(int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        int k = 0;
        while (k < N_WORDS && strcmp(argv[i], words[k].name) != 0)
            k++;
        bool host = strcmp(argv[i], "--host") == 0;
        if (i + 1 == argc || (k == N_WORDS && !host))
            die("unknown option, or one without its value; the top of bench/load.c lists them");
        if (host)
            want.host = argv[i + 1];
        else if (words[k].whole)
            *words[k].whole = strtol(argv[i + 1], NULL, 10);
        else
            *words[k].real = strtod(argv[i + 1], NULL);
    }
    if (want.port < 1 || want.port > 65535)
        die("--port is missing");
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- samples ---- */

struct samples { double *at; size_t n, room; };

static void *grow(void *p, size_t bytes)
{
    p = realloc(p, bytes);
    if (!p)
        die("out of memory");
    return p;
}

static void add(struct samples *s, double value)
{
    if (s->n == s->room)
        s->at = grow(s->at, (s->room = s->room ? 2 * s->room : 1024) * sizeof *s->at);
    s->at[s->n++] = value;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double rank(const struct samples *s, double share)
{
    size_t i = (size_t)(share * (double)s->n);
    return s->n ? s->at[i < s->n ? i : s->n - 1] : 0;
}

static void print_samples(const char *name, struct samples *s)
{
    if (s->n)
        qsort(s->at, s->n, sizeof *s->at, by_value);
    printf(",\"%s\":{\"n\":%zu,\"p50\":%.3f,\"p99\":%.3f,\"most\":%.3f}", name, s->n, rank(s, 0.5), rank(s, 0.99),
           rank(s, 1));
}

/* ---- a client ---- */

struct text { char *ptr; size_t len, room; };

static void append(struct text *t, const char *bytes, size_t n)
{
    if (t->len + n + 1 > t->room)
        t->ptr = grow(t->ptr, t->room = 2 * (t->len + n + 1));
    memcpy(t->ptr + t->len, bytes, n);
    t->len += n;
    t->ptr[t->len] = 0;
}

enum kind { COMPLETES, IDLES, HALF, ASKS_HEALTH };
enum state { RESTS, CONNECTS, SENDS, READS, HOLDS };

struct client {
    enum kind kind;
    enum state state;
    int fd; /* -1: none */
    double wake_s, start_s, last_s; /* rests until then; the request began; its last event */
    struct text out, raw, body;
    size_t n_sent, n_read, n_scanned, head_bytes;
    long status, length, retry_after_s;
    bool chunked, closes, stream, has_first, has_done;
    long n_events;
};

static struct client *clients;
static long n_clients;
static int epoll;
static struct sockaddr_in address;
static double begin_s;
static volatile sig_atomic_t is_cut;

static struct {
    long sent, completed, refused, failed, cut, tokens, events, window_requests, steady_events, streaming, held,
        reopened;
    double window_tokens, steady_s, steady_since_s, ended_s;
    struct samples refusal, first, gap, whole, health;
} seen;

static bool in_window(double at) { return at >= begin_s + want.warm && at <= begin_s + want.seconds; }

/* How much of the time from `from` to `until` lies there, 0 to 1. */
static double share_in_window(double from, double until)
{
    double first = from > begin_s + want.warm ? from : begin_s + want.warm;
    double last = until < begin_s + want.seconds ? until : begin_s + want.seconds;
    return until > from ? (last > first ? (last - first) / (until - from) : 0) : in_window(until);
}

/* Between the first token of the last client and the first end. */
static void set_streaming(long more, double now)
{
    bool was = seen.streaming == want.clients;
    seen.streaming += more;
    bool is = seen.streaming == want.clients;
    if (is && !was)
        seen.steady_since_s = now;
    if (was && !is)
        seen.steady_s += now - seen.steady_since_s;
}

static uint64_t next_random(uint64_t *x)
{
    uint64_t z = (*x += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void write_request(struct client *c)
{
    static const char letters[] = "etaoinshrdlu";
    struct text body = { 0 };
    char piece[256];
    uint64_t x = (uint64_t)seen.sent * 1000003u + 1;
    c->out.len = 0;
    if (c->kind != COMPLETES) {
        int n = snprintf(piece, sizeof piece, "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        append(&c->out, piece, (size_t)(c->kind == HALF ? n / 2 : n));
        return;
    }
    c->stream = (long)(next_random(&x) % 100) < want.stream_percent;
    append(&body, "{\"prompt\":\"", 11);
    for (long i = 0; i < want.prompt_words; i++) {
        size_t n = 2 + next_random(&x) % 7;
        for (size_t k = 0; k < n; k++)
            piece[k] = letters[next_random(&x) % (sizeof letters - 1)];
        piece[n] = ' ';
        append(&body, piece, n + 1);
    }
    int n = snprintf(piece, sizeof piece, "\",\"max_tokens\":%ld,\"ignore_eos\":true,\"temperature\":1,\"seed\":%ld%s}",
                     want.max_tokens, seen.sent,
                     c->stream ? ",\"stream\":true,\"stream_options\":{\"include_usage\":true}" : "");
    append(&body, piece, (size_t)n);
    n = snprintf(piece, sizeof piece, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                 "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n", body.len);
    append(&c->out, piece, (size_t)n);
    append(&c->out, body.ptr, body.len);
    free(body.ptr);
}

static void watch(struct client *c, uint32_t events, int how)
{
    struct epoll_event e = { .events = events, .data.u64 = (uint64_t)(c - clients) };
    if (epoll_ctl(epoll, how, c->fd, &e) != 0)
        die("epoll_ctl fails");
}

static void hang_up(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

static void rest(struct client *c, double until_s)
{
    c->state = RESTS;
    c->wake_s = until_s;
}

/* What was sent has ended, one way or the other. */
static void finish(struct client *c, long *counter, double now)
{
    if (c->kind == COMPLETES) {
        ++*counter;
        if (c->stream && c->has_first)
            set_streaming(-1, now);
    } else if (c->kind == ASKS_HEALTH && c->status != 200) {
        seen.failed++;
        fprintf(stderr, "bench_load: /health was not answered\n");
    }
    seen.ended_s = now;
    rest(c, now + (c->kind == ASKS_HEALTH ? HEALTH_PAUSE_MS / 1e3 : 0));
}

static void fails(struct client *c, const char *why)
{
    double now = now_s();
    if (c->kind == COMPLETES && seen.failed < 5)
        fprintf(stderr, "bench_load: %s (status %ld): %.200s\n", why, c->status, c->body.ptr ? c->body.ptr : "");
    hang_up(c);
    if (c->kind == IDLES || c->kind == HALF) {
        seen.held -= c->state == HOLDS;
        seen.reopened++;
        rest(c, now + REOPEN_MS / 1e3);
        return;
    }
    finish(c, &seen.failed, now);
    c->wake_s = now + REOPEN_MS / 1e3;
}

static void begin(struct client *c, double now)
{
    int one = 1;
    if (c->kind == COMPLETES) {
        if (want.requests && seen.sent == want.requests)
            return;
        seen.sent++;
    }
    write_request(c);
    c->raw.len = c->body.len = c->n_sent = c->n_read = c->n_scanned = c->head_bytes = 0;
    c->status = c->retry_after_s = c->n_events = 0;
    c->length = -1;
    c->chunked = c->closes = c->has_first = c->has_done = false;
    c->start_s = now;
    c->state = SENDS;
    if (c->fd >= 0) {
        watch(c, EPOLLOUT, EPOLL_CTL_MOD);
        return;
    }
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("no more sockets; raise ulimit -n");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->state = CONNECTS;
    watch(c, EPOLLOUT, EPOLL_CTL_ADD);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS)
        fails(c, "cannot connect");
}

/* ---- answers ---- */

static const char *header(const struct client *c, const char *name)
{
    size_t n = strlen(name);
    for (const char *line = strstr(c->raw.ptr, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (line + 2 >= c->raw.ptr + c->head_bytes)
            break;
        if (strncasecmp(line + 2, name, n) == 0 && line[2 + n] == ':')
            return line + 3 + n + strspn(line + 3 + n, " ");
    }
    return NULL;
}

/* False: its end is not there yet. */
static bool read_head(struct client *c)
{
    char *end = c->raw.len ? strstr(c->raw.ptr, "\r\n\r\n") : NULL;
    if (!end)
        return false;
    c->head_bytes = c->n_read = (size_t)(end + 4 - c->raw.ptr);
    c->status = strtol(c->raw.ptr + strcspn(c->raw.ptr, " "), NULL, 10);
    const char *length = header(c, "Content-Length"), *retry = header(c, "Retry-After"),
               *coding = header(c, "Transfer-Encoding"), *connection = header(c, "Connection");
    c->length = length ? strtol(length, NULL, 10) : -1;
    c->retry_after_s = retry ? strtol(retry, NULL, 10) : 0;
    c->chunked = coding && strncasecmp(coding, "chunked", 7) == 0;
    c->closes = connection && strncasecmp(connection, "close", 5) == 0;
    return true;
}

/* Moves what is there of the body; true when it is whole. */
static bool read_body(struct client *c)
{
    if (!c->chunked) {
        append(&c->body, c->raw.ptr + c->n_read, c->raw.len - c->n_read);
        c->n_read = c->raw.len;
        return c->length >= 0 && (long)c->body.len >= c->length;
    }
    for (;;) {
        char *at = c->raw.ptr + c->n_read, *line = strstr(at, "\r\n");
        if (!line)
            return false;
        size_t n = strtoul(at, NULL, 16), need = (size_t)(line + 2 - c->raw.ptr) + n + 2;
        if (c->raw.len < need)
            return false;
        append(&c->body, line + 2, n);
        c->n_read = need;
        if (n == 0)
            return true;
    }
}

static void read_events(struct client *c, double now)
{
    while (c->n_scanned < c->body.len) {
        char *line = c->body.ptr + c->n_scanned, *end = strchr(line, '\n');
        if (!end)
            return;
        *end = 0;
        c->n_scanned = (size_t)(end + 1 - c->body.ptr);
        c->has_done = c->has_done || strcmp(line, "data: [DONE]") == 0;
        const char *text = strncmp(line, "data: {", 7) == 0 ? strstr(line, "\"text\":\"") : NULL;
        if (text && text[8] != '"') {
            if (!c->has_first) {
                add(&seen.first, (now - c->start_s) * 1e3);
                c->has_first = true;
                set_streaming(1, now);
            } else {
                add(&seen.gap, (now - c->last_s) * 1e3);
            }
            c->last_s = now;
            c->n_events++;
            seen.steady_events += seen.streaming == want.clients;
        }
        *end = '\n';
    }
}

static void count_answer(struct client *c, double now)
{
    const char *tokens = c->body.ptr ? strstr(c->body.ptr, "\"completion_tokens\":") : NULL;
    const char *made_ms = tokens ? strstr(tokens, "\"predicted_ms\":") : NULL;
    if (!made_ms || (c->stream && !c->has_done)) {
        fails(c, "an answer without its end");
        return;
    }
    long n = strtol(tokens + 20, NULL, 10);
    seen.tokens += n;
    seen.events += c->n_events;
    seen.window_requests += in_window(now);
    seen.window_tokens += (double)n * share_in_window(now - strtod(made_ms + 15, NULL) / 1e3, now);
    add(&seen.whole, (now - c->start_s) * 1e3);
    finish(c, &seen.completed, now);
}

static void on_answer(struct client *c, double now)
{
    if (c->kind == ASKS_HEALTH) {
        add(&seen.health, (now - c->start_s) * 1e3);
        finish(c, NULL, now);
    } else if (c->status == 200) {
        count_answer(c, now);
    } else if ((c->status == 503 || c->status == 429) && c->retry_after_s > 0) {
        add(&seen.refusal, (now - c->start_s) * 1e3);
        finish(c, &seen.refused, now);
        c->wake_s = now + (double)c->retry_after_s;
    } else {
        fails(c, "neither an answer nor a refusal to come back later");
    }
    if (c->fd >= 0 && c->closes)
        hang_up(c);
    else if (c->fd >= 0)
        watch(c, 0, EPOLL_CTL_MOD);
}

static void on_readable(struct client *c)
{
    static char piece[READ_BYTES];
    ssize_t n = recv(c->fd, piece, sizeof piece, 0);
    double now = now_s();
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        fails(c, "the connection ended");
        return;
    }
    if (c->state != READS) /* an answer to what was not sent whole is one all the same */
        c->state = READS;
    append(&c->raw, piece, (size_t)n);
    if (!c->head_bytes && !read_head(c))
        return;
    bool whole = read_body(c);
    if (c->stream && c->status == 200)
        read_events(c, now);
    if (whole)
        on_answer(c, now);
}

static void on_writable(struct client *c)
{
    ssize_t n = send(c->fd, c->out.ptr + c->n_sent, c->out.len - c->n_sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        fails(c, "cannot send");
        return;
    }
    c->n_sent += n > 0 ? (size_t)n : 0;
    c->state = c->n_sent < c->out.len ? SENDS : c->kind == HALF ? HOLDS : READS;
    seen.held += c->state == HOLDS;
    watch(c, c->state == SENDS ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
}

static void on_event(struct client *c, uint32_t events)
{
    if (c->state == RESTS) { /* the server closes a connection that nobody uses */
        hang_up(c);
    } else if (c->state == CONNECTS && c->kind == IDLES && !(events & EPOLLERR)) {
        c->state = HOLDS;
        seen.held++;
        watch(c, EPOLLIN, EPOLL_CTL_MOD);
    } else if (events & EPOLLIN) {
        on_readable(c);
    } else if (events & (EPOLLERR | EPOLLHUP)) {
        fails(c, "the connection ended");
    } else if (events & EPOLLOUT) {
        on_writable(c);
    }
}

/* ---- all of them ---- */

static bool is_over(double now)
{
    bool busy = false;
    for (long i = 0; i < n_clients && !busy; i++)
        busy = (clients[i].kind == COMPLETES || clients[i].kind == ASKS_HEALTH) && clients[i].state != RESTS;
    if (want.health)
        return !busy && (long)seen.health.n + seen.failed >= want.health;
    if (want.requests)
        return !busy && seen.sent >= want.requests;
    return now >= begin_s + want.seconds && (!busy || now >= begin_s + want.seconds + want.drain);
}

static bool may_begin(const struct client *c, double now)
{
    if (c->state != RESTS || c->wake_s > now)
        return false;
    switch (c->kind) {
    case ASKS_HEALTH: return (long)seen.health.n < want.health && seen.held >= want.idle + want.half;
    case COMPLETES: return want.requests ? seen.sent < want.requests : now < begin_s + want.seconds;
    case IDLES:
    case HALF: return true;
    }
    return true;
}

/* All clients are looked at once in LOOK_MS and no more, so that a thousand that rest take hardly more of the processor
 * than a few do; who may go on at once goes on at once. */
static void run(void)
{
    enum { LOOK_MS = 1 };
    struct epoll_event events[EVENTS];
    double now = now_s(), looked_s = 0;
    for (;; now = now_s()) {
        if (now >= looked_s + LOOK_MS / 1e3) {
            for (long i = 0; i < n_clients; i++)
                if (may_begin(&clients[i], now))
                    begin(&clients[i], now);
            looked_s = now;
            if (is_over(now))
                break;
        }
        if (is_cut)
            break;
        int n = epoll_wait(epoll, events, EVENTS, LOOK_MS);
        for (int i = 0; i < n; i++) {
            struct client *c = &clients[events[i].data.u64];
            on_event(c, events[i].events);
            if (c->state == RESTS && may_begin(c, now = now_s()))
                begin(c, now);
        }
    }
    for (long i = 0; i < n_clients; i++)
        if (clients[i].state != RESTS && clients[i].kind == COMPLETES)
            finish(&clients[i], &seen.cut, now);
}

static void make_clients(void)
{
    const long counts[] = { [COMPLETES] = want.clients, [IDLES] = want.idle, [HALF] = want.half,
                            [ASKS_HEALTH] = want.health > 0 };
    for (int kind = 0; kind <= ASKS_HEALTH; kind++)
        n_clients += counts[kind];
    clients = grow(NULL, (size_t)n_clients * sizeof *clients);
    long at = 0;
    for (int kind = 0; kind <= ASKS_HEALTH; kind++)
        for (long i = 0; i < counts[kind]; i++)
            clients[at++] = (struct client){
                .kind = (enum kind)kind, .fd = -1,
                .wake_s = kind == COMPLETES ? begin_s + want.warm * (double)i / (double)counts[kind] : 0,
            };
}

static void report(void)
{
    double window = want.seconds - want.warm, scale = seen.events ? (double)seen.tokens / (double)seen.events : 0;
    if (want.requests) {
        window = seen.ended_s - begin_s;
        seen.window_requests = seen.completed;
        seen.window_tokens = (double)seen.tokens;
    }
    printf("{\"clients\":%ld,\"sent\":%ld,\"completed\":%ld,\"refused\":%ld,\"failed\":%ld,\"cut\":%ld,\"tokens\":%ld",
           want.clients, seen.sent, seen.completed, seen.refused, seen.failed, seen.cut, seen.tokens);
    printf(",\"seconds\":%.3f,\"requests_per_s\":%.4f,\"tokens_per_s\":%.4f,\"steady_tokens_per_s\":%.4f,"
           "\"steady_s\":%.3f", seen.ended_s - begin_s, (double)seen.window_requests / window,
           seen.window_tokens / window,
           seen.steady_s > 0 ? (double)seen.steady_events * scale / seen.steady_s : 0, seen.steady_s);
    printf(",\"held\":%ld,\"reopened\":%ld,\"cpu_s\":%.3f", seen.held, seen.reopened,
           (double)clock() / CLOCKS_PER_SEC);
    print_samples("refusal_ms", &seen.refusal);
    print_samples("first_token_ms", &seen.first);
    print_samples("between_tokens_ms", &seen.gap);
    print_samples("answer_ms", &seen.whole);
    print_samples("health_ms", &seen.health);
    printf("}\n");
}

static void on_signal(int number)
{
    (void)number;
    is_cut = 1;
}

int main(int argc, char **argv)
{
    struct rlimit files;
    read_words(argc, argv);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)want.port) };
    if (inet_pton(AF_INET, want.host, &address.sin_addr) != 1)
        die("--host is no IPv4 address");
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    signal(SIGPIPE, SIG_IGN);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    begin_s = now_s();
    make_clients();
    run();
    report();
    return 0;
}
