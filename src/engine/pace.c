#include "engine/pace.h"

/* The mean of the last few: one that took long for no reason is forgotten as soon. */
static double towards(double mean, double ms) { return mean > 0 ? mean + (ms - mean) / 4 : ms; }

void pace_learn(struct pace *p, int n_prompt_tokens, int n_answers, double ms)
{
    if (ms <= 0)
        return;
    if (n_prompt_tokens == 0) {
        p->answers_ms = towards(p->answers_ms, ms);
        return;
    }
    double prompt_ms = n_answers > 0 && p->answers_ms < ms ? ms - p->answers_ms : ms;
    p->token_ms = towards(p->token_ms, prompt_ms / n_prompt_tokens);
}

int pace_tokens(const struct pace *p, double target_ms, int most)
{
    if (p->token_ms <= 0)
        return min_int(most, PACE_FIRST_TOKENS);
    double left = target_ms - p->answers_ms, n = (left > p->answers_ms ? left : p->answers_ms) / p->token_ms;
    return n >= most ? most : min_int(most, max_int((int)n, PACE_LEAST_TOKENS));
}
