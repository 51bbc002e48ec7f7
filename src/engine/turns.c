#include "engine/turns.h"

static uint64_t awake_bytes(const struct turn *turns, int n)
{
    uint64_t sum = 0;
    for (int i = 0; i < n; i++)
        sum += turns[i].awake ? turns[i].bytes : 0;
    return sum;
}

static int64_t sooner(int64_t a, int64_t b) { return !a || (b && b < a) ? b : a; }

static bool is_idle(const struct turn *t)
{
    return t->awake && t->move == TURN_STAY && !t->pinned && !t->busy && !t->wanted_ns;
}

/* Those whose time is over, and those that were told to. */
static int64_t send_to_bed(struct turn *turns, int n, int64_t now)
{
    int64_t again = 0;
    for (int i = 0; i < n; i++) {
        struct turn *t = &turns[i];
        if (!is_idle(t))
            continue;
        if (t->told || (t->keep_ns && now - t->used_ns >= t->keep_ns))
            t->move = TURN_SLEEP;
        else if (t->keep_ns)
            again = sooner(again, t->used_ns + t->keep_ns);
    }
    return again;
}

/* The one that has been wanted for longest of those that sleep; NULL: none is. */
static struct turn *next_wanted(struct turn *turns, int n)
{
    struct turn *best = NULL;
    for (int i = 0; i < n; i++) {
        struct turn *t = &turns[i];
        if (!t->awake && t->move == TURN_STAY && t->wanted_ns && (!best || t->wanted_ns < best->wanted_ns))
            best = t;
    }
    return best;
}

static bool had_its_time(const struct turn *t, const struct turn_rules *r, int64_t now)
{
    return now - t->woke_ns >= r->least_ns;
}

/* Idle, or between two requests and awake for long enough. */
static bool may_leave(const struct turn *t, const struct turn_rules *r, int64_t now)
{
    return is_idle(t)
           || (t->awake && t->move == TURN_STAY && !t->pinned && !t->busy && had_its_time(t, r, now));
}

/* Of those that may go for another the longest unused; NULL: none may. */
static struct turn *who_leaves(struct turn *turns, int n, const struct turn_rules *r, int64_t now)
{
    struct turn *best = NULL;
    for (int i = 0; i < n; i++)
        if (may_leave(&turns[i], r, now) && (!best || turns[i].used_ns < best->used_ns))
            best = &turns[i];
    return best;
}

/* The busy one that woke first and is not held yet; NULL: there is none. */
static struct turn *first_to_hold(struct turn *turns, int n)
{
    struct turn *first = NULL;
    for (int i = 0; i < n; i++) {
        struct turn *t = &turns[i];
        if (t->awake && t->move == TURN_STAY && t->busy && !t->pinned && !t->held
            && (!first || t->woke_ns < first->woke_ns))
            first = t;
    }
    return first;
}

/* So much must go, and not all of it can yet: as many as that takes begin nothing new. Returns when the next of them
 * has had its time. */
static int64_t hold(struct turn *turns, int n, uint64_t too_much, const struct turn_rules *r, int64_t now)
{
    uint64_t goes = 0;
    for (int i = 0; i < n; i++)
        goes += may_leave(&turns[i], r, now) ? turns[i].bytes : 0;
    while (goes < too_much) {
        struct turn *t = first_to_hold(turns, n);
        if (!t)
            return 0;
        if (!had_its_time(t, r, now))
            return t->woke_ns + r->least_ns;
        t->held = true;
        goes += t->bytes;
    }
    return 0;
}

/* False: there is no room for it yet, and nobody goes for nothing. */
static bool wake(struct turn *turns, int n, struct turn *wants, uint64_t *used, const struct turn_rules *r, int64_t now)
{
    struct turn *leaves, *gone[TURNS_MAX];
    int n_gone = 0;
    uint64_t left = *used;
    while (left + wants->bytes > r->room_bytes && (leaves = who_leaves(turns, n, r, now))) {
        leaves->move = TURN_SLEEP;
        leaves->for_room = true;
        left -= leaves->bytes;
        gone[n_gone++] = leaves;
    }
    if (left + wants->bytes <= r->room_bytes) {
        wants->move = TURN_WAKE;
        *used = left + wants->bytes;
        return true;
    }
    while (n_gone > 0) {
        gone[--n_gone]->move = TURN_STAY;
        gone[n_gone]->for_room = false;
    }
    return false;
}

int64_t turns_decide(struct turn *turns, int n, const struct turn_rules *r, int64_t now)
{
    for (int i = 0; i < n; i++) {
        turns[i].move = TURN_STAY;
        turns[i].for_room = turns[i].held = false;
    }
    int64_t again = send_to_bed(turns, n, now);
    uint64_t used = awake_bytes(turns, n);
    for (int i = 0; i < n; i++)
        used -= turns[i].move == TURN_SLEEP ? turns[i].bytes : 0;
    for (struct turn *t; (t = next_wanted(turns, n));)
        if (!wake(turns, n, t, &used, r, now))
            return sooner(again, hold(turns, n, used + t->bytes - r->room_bytes, r, now));
    return again;
}
