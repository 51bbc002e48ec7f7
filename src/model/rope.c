#include "model/rope.h"

#include "kernel/num.h"

static const double two_pi = 6.283185307179586;

/* The pair that turns `turns` times within the original context; need not be whole. */
static double pair_of(const struct rope_params *p, int n_rot, double turns)
{
    return n_rot * num_log(p->n_ctx_original / (turns * two_pi)) / (2 * num_log(p->base));
}

static double clamp(double x, double least, double most) { return x < least ? least : x > most ? most : x; }

static double whole_below(double x) { return x < 0 ? 0 : (double)(int)clamp(x, 0, 1e9); }

/* Where YaRN begins to stretch, and from where on it does so fully: pairs. */
struct ramp {
    double begin, end;
};

static struct ramp yarn_ramp(const struct rope_params *p, int n_rot, bool fractional)
{
    double begin = pair_of(p, n_rot, p->beta_fast), end = pair_of(p, n_rot, p->beta_slow);
    if (!fractional) {
        begin = whole_below(begin);
        end = whole_below(end) + (end > whole_below(end));
    }
    begin = clamp(begin, 0, n_rot - 1);
    end = clamp(end, 0, n_rot - 1);
    return (struct ramp){ begin, end };
}

static double attention_factor(const struct rope_params *p)
{
    double own = p->attn_factor > 0 ? p->attn_factor : 1;
    if (p->scaling != ROPE_YARN || p->factor <= 1)
        return own;
    if (p->yarn_factor > 0)
        return own * p->yarn_factor;
    double longer = 0.1 * num_log(p->factor);
    return own * (1 + longer) / (1 + longer * p->log_multiplier);
}

bool rope_make(struct rope_table *t, struct arena *arena, const struct rope_params *p, int n_rot, const float *factors,
               bool fractional, hearth_error *err)
{
    int n = n_rot / 2;
    t->freq = arena_array(arena, double, max_int(n, 1));
    if (!t->freq)
        return fail_memory(err, "RoPE frequencies");
    t->n_rot = n_rot;
    t->magnitude = attention_factor(p);
    struct ramp ramp = yarn_ramp(p, n_rot, fractional);
    for (int i = 0; i < n; i++) {
        double whole = num_pow(p->base, -2.0 * i / n_rot), stretched = whole / p->factor;
        if (p->scaling == ROPE_YARN) {
            double width = ramp.end - ramp.begin > 0.001 ? ramp.end - ramp.begin : 0.001;
            double much = clamp((i - ramp.begin) / width, 0, 1);
            stretched = stretched * much + whole * (1 - much);
        }
        t->freq[i] = factors ? stretched / (double)factors[i] : stretched;
    }
    return true;
}

void rope_angles(const struct rope_table *t, int pos, float *cos, float *sin)
{
    for (int i = 0; i < t->n_rot / 2; i++) {
        double angle = pos * t->freq[i];
        cos[i] = (float)(num_cos(angle) * t->magnitude);
        sin[i] = (float)(num_sin(angle) * t->magnitude);
    }
}
