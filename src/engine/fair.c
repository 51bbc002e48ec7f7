#include "engine/fair.h"

static int find(const struct fair *f, uint64_t owner)
{
    for (int i = 0; i < f->n; i++)
        if (f->owner[i] == owner)
            return i;
    return -1;
}

int fair_pick(const struct fair *f, const uint64_t *owners, int n)
{
    int best = 0;
    uint64_t best_turn = UINT64_MAX;
    for (int i = 0; i < n; i++) {
        if (i > 0 && owners[i] == owners[i - 1])
            continue; /* the one before it came first */
        int known = find(f, owners[i]);
        uint64_t turn = known < 0 ? 0 : f->turn[known];
        if (turn < best_turn) {
            best = i;
            best_turn = turn;
        }
    }
    return best;
}

void fair_served(struct fair *f, uint64_t owner)
{
    int i = find(f, owner);
    if (i < 0 && f->n < FAIR_OWNERS) {
        i = f->n++;
    } else if (i < 0) {
        i = 0;
        for (int k = 1; k < f->n; k++)
            if (f->turn[k] < f->turn[i])
                i = k;
    }
    f->owner[i] = owner;
    f->turn[i] = ++f->n_served;
}
