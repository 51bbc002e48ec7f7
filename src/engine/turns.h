/* turns.h: which of an engine's models are awake, where not all of them may be.
 *
 * A model that is awake has memory: pages of keys and values, a workspace, and, where models take turns, its weights.
 * One that is asleep has given that back; its file stays open, and what it answers has the same bits when it is awake
 * again. Whoever is wanted is woken at once if there is room. Else the idle ones make room, the longest unused first;
 * and where that is not enough, those that have been awake for a while begin nothing new until they are idle. So a
 * model that is always asked for leaves its place after that while, and each is waited for in the order in which it was
 * wanted: nobody overtakes. */
#pragma once
#include "base/base.h"

enum { TURNS_MAX = 64 };
enum turn_move { TURN_STAY, TURN_SLEEP, TURN_WAKE };

/* One of the models: what is known, and what is decided. */
struct turn {
    uint64_t bytes;    /* that it takes while it is awake */
    bool awake;
    bool pinned;       /* awake for ever */
    bool busy;         /* somebody has a slot of it */
    bool told;         /* somebody wants it to sleep when it is idle */
    int64_t keep_ns;   /* idle it stays awake for so long; 0: for ever */
    int64_t wanted_ns; /* since when somebody waits for one of its slots; 0: nobody does */
    int64_t used_ns;   /* when it was busy last, or woke */
    int64_t woke_ns;

    enum turn_move move;
    bool for_room;     /* TURN_SLEEP: for another */
    bool held;         /* it begins nothing new */
};

struct turn_rules {
    uint64_t room_bytes; /* for those that are awake, together */
    int64_t least_ns;    /* one that woke is not held before */
};

/* Decide, now; pure. n: up to TURNS_MAX. Returns when to decide again if nothing happens until then; 0: not before
 * something does. */
int64_t turns_decide(struct turn *turns, int n, const struct turn_rules *rules, int64_t now_ns);
