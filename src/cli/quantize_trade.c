#include "cli/quantize_trade.h"

#include <math.h>
#include <string.h>

#include "cli/units.h"

static double height(const struct trade_point *p) { return log(fmax(p->kld, TRADE_LEAST_KLD)); }

/* ---- the front and the knee ---- */

/* a is no worse than b in both, and better in one or first of equals. */
static bool beats(const struct trade_point *a, const struct trade_point *b)
{
    if (a->bytes > b->bytes || height(a) > height(b))
        return false;
    return a->bytes < b->bytes || height(a) < height(b) || a < b;
}

static bool beaten(const struct trade_point *p, int n, int i)
{
    for (int k = 0; k < n; k++)
        if (k != i && p[k].smaller && beats(&p[k], &p[i]))
            return true;
    return false;
}

/* By size: no two of them have the same. */
static void find_front(struct trade *t, const struct trade_point *p, int n)
{
    for (int i = 0; i < n; i++) {
        if (!p[i].smaller || beaten(p, n, i))
            continue;
        int at = t->n_front++;
        for (; at > 0 && p[t->front[at - 1]].bytes > p[i].bytes; at--)
            t->front[at] = t->front[at - 1];
        t->front[at] = i;
    }
}

void trade_find(struct trade *t, const struct trade_point *p, int n)
{
    int at = 0;
    *t = (struct trade){ .take = -1, .smaller = -1, .larger = -1 };
    find_front(t, p, n);
    if (t->n_front == 0)
        return;
    const struct trade_point *first = &p[t->front[0]], *last = &p[t->front[t->n_front - 1]];
    for (int i = 1; i + 1 < t->n_front; i++) { /* sizes rise and divergences fall: no axis has length 0 */
        const struct trade_point *each = &p[t->front[i]];
        double x = (double)(each->bytes - first->bytes) / (double)(last->bytes - first->bytes);
        double y = (height(each) - height(last)) / (height(first) - height(last));
        if (1 - x - y > t->bend) {
            t->bend = 1 - x - y;
            at = i;
        }
    }
    t->kind = t->n_front == 1 ? TRADE_ONE : t->bend >= TRADE_LEAST_BEND ? TRADE_KNEE : TRADE_STRAIGHT;
    if (t->kind != TRADE_KNEE)
        at = t->n_front - 1;
    t->take = t->front[at];
    t->smaller = at > 0 ? t->front[at - 1] : -1;
    t->larger = at + 1 < t->n_front ? t->front[at + 1] : -1;
}

/* ---- in words ---- */

static const char *why(const struct trade *t)
{
    switch (t->kind) {
    case TRADE_KNEE:
        return "the knee: to save more costs more divergence for each byte than it did up to here";
    case TRADE_STRAIGHT:
        return t->n_front == 2 ? "two candidates have no knee, and this one is nearer to IN"
                               : "there is no knee, each byte saved costs alike, and this one is nearest to IN";
    case TRADE_ONE:
        return "no other candidate is smaller or nearer to IN";
    case TRADE_NONE:
        break;
    }
    return "";
}

const char *trade_advice(char out[TRADE_SENTENCE_BYTES], const struct trade *t, const struct trade_point *p,
                         uint64_t bytes)
{
    char speed[64] = "";
    if (t->take < 0) {
        snprintf(out, TRADE_SENTENCE_BYTES, "keep IN: no candidate is smaller");
        return out;
    }
    const struct trade_point *one = &p[t->take];
    if (one->decode_times > 0)
        snprintf(speed, sizeof speed, " and writes %.2f times as fast", one->decode_times);
    snprintf(out, TRADE_SENTENCE_BYTES,
             "take %s (%s): it has %.0f %% of IN's bytes%s, and finds the same token likeliest at %.1f %% of the "
             "positions",
             one->name, why(t), 100 * (double)one->bytes / (double)bytes, speed, 100 * one->same_top);
    return out;
}

const char *trade_neighbour(char out[TRADE_SENTENCE_BYTES], const struct trade *t, const struct trade_point *p,
                            int step)
{
    int other = step < 0 ? t->smaller : t->larger;
    out[0] = 0;
    if (t->take < 0 || other < 0)
        return out;
    const struct trade_point *one = &p[t->take], *two = &p[other];
    double size = (double)two->bytes / (double)one->bytes, times = exp(height(two) - height(one));
    if (step < 0)
        snprintf(out, TRADE_SENTENCE_BYTES, "%s is %.0f %% smaller at %.3g times the divergence", two->name,
                 100 * (1 - size), times);
    else
        snprintf(out, TRADE_SENTENCE_BYTES, "%s is %.0f %% larger at %.3g times the divergence", two->name,
                 100 * (size - 1), times);
    return out;
}

/* ---- the picture ---- */

enum { ROWS = 13, MARGIN = 10, MOST_WIDTH = 200, LEAST_WIDTH = 40 };

struct canvas {
    char at[ROWS][MOST_WIDTH];
    int width;
};

struct range {
    double low, high;
};

static int place(double v, struct range r, int n)
{
    double share = r.high > r.low ? (v - r.low) / (r.high - r.low) : 0.5;
    return (int)(share * (n - 1) + 0.5);
}

static bool is_free(const struct canvas *c, int row, int column, int n)
{
    if (row < 0 || row >= ROWS || column < 0 || column + n > c->width)
        return false;
    for (int i = 0; i < n; i++)
        if (c->at[row][column + i] != ' ')
            return false;
    return true;
}

/* Beside the mark where there is room: to its right, its left, in the rows above and below. Else not at all: all names
 * are in the table. */
static void put_name(struct canvas *c, int row, int column, const char *name)
{
    int n = (int)strlen(name);
    const int places[][2] = { { row, column + 2 },     { row, column - 1 - n },     { row - 1, column + 1 },
                              { row + 1, column + 1 }, { row - 1, column - n - 1 }, { row + 1, column - n - 1 } };
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        int at = places[i][1];
        if (!is_free(c, places[i][0], at, n) || (at > 0 && c->at[places[i][0]][at - 1] != ' ' && i > 1))
            continue;
        memcpy(&c->at[places[i][0]][at], name, (size_t)n);
        return;
    }
}

static bool on_front(const struct trade *t, int i)
{
    for (int k = 0; k < t->n_front; k++)
        if (t->front[k] == i)
            return true;
    return false;
}

static void draw(struct canvas *c, const struct trade *t, const struct trade_point *p, int n, struct range size,
                 struct range kld)
{
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < n; i++) {
            int column = place((double)p[i].bytes, size, c->width);
            int row = ROWS - 1 - place(height(&p[i]), kld, ROWS);
            bool knee = t->kind == TRADE_KNEE && i == t->take;
            if (pass == 1)
                put_name(c, row, column, p[i].name);
            else if (knee || on_front(t, i))
                c->at[row][column] = knee ? '#' : c->at[row][column] == '#' ? '#' : 'o';
            else if (c->at[row][column] == ' ')
                c->at[row][column] = '.';
        }
    }
}

void trade_picture(FILE *out, const struct trade *t, const struct trade_point *p, int n, int width)
{
    struct canvas c = { .width = min_int(max_int(width, LEAST_WIDTH), MOST_WIDTH) - MARGIN };
    struct range size = { INFINITY, 0 }, kld = { INFINITY, -INFINITY };
    char least[UNITS_BYTES], most[UNITS_BYTES];
    if (n < 2)
        return;
    for (int i = 0; i < n; i++) {
        size = (struct range){ fmin(size.low, (double)p[i].bytes), fmax(size.high, (double)p[i].bytes) };
        kld = (struct range){ fmin(kld.low, height(&p[i])), fmax(kld.high, height(&p[i])) };
    }
    memset(c.at, ' ', sizeof c.at);
    draw(&c, t, p, n, size, kld);
    fprintf(out, "divergence (nats)%s\n", t->kind == TRADE_KNEE ? "   # the knee" : "");
    for (int row = 0; row < ROWS; row++) {
        int end = c.width;
        char label[MARGIN] = "";
        if (row % 4 == 0)
            snprintf(label, sizeof label, "%.2g", exp(kld.high - (kld.high - kld.low) * row / (ROWS - 1)));
        while (end > 0 && c.at[row][end - 1] == ' ')
            end--;
        fprintf(out, "%8s |%.*s\n", label, end, c.at[row]);
    }
    fprintf(out, "%8s +", "");
    for (int i = 0; i < c.width; i++)
        fputc('-', out);
    text_of_bytes(least, (uint64_t)size.low);
    text_of_bytes(most, (uint64_t)size.high);
    fprintf(out, "\n%*s%s%*s\n", MARGIN, "", least, c.width - (int)strlen(least), most);
}
