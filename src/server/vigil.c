/* vigil.c: does the engine still get on? The watch thread looks at its pulse; what it finds is what /health says and
 * what a service manager is told. Never waits for the engine. */
#include "base/clock.h"
#include "server/core.h"

/* A beat is a job of the worker threads, some hundred in a step, so even one step's time is more than any beat of it
 * takes; and a step can take longer than any before it, because its prompt is longer or its weights come from disk. */
enum { STEPS_OF_PATIENCE = 4 };

double vigil_patience_ms(int floor_ms, double longest_step_ms)
{
    double ms = STEPS_OF_PATIENCE * longest_step_ms;
    return ms > floor_ms ? ms : floor_ms;
}

void vigil_look(struct server *s, int64_t now_ns)
{
    struct vigil *v = &s->vigil;
    hearth_pulse pulse;
    hearth_engine_pulse(s->options.engine, &pulse);
    if (!pulse.busy || pulse.n_beats != v->n_beats || v->beat_ns == 0) {
        v->n_beats = pulse.n_beats;
        v->beat_ns = now_ns;
    }
    double still_ms = (double)(now_ns - v->beat_ns) / 1e6;
    double patience_ms = vigil_patience_ms(s->options.stall_ms, pulse.longest_ms);
    atomic_store(&v->still_ms, still_ms);
    atomic_store(&v->patience_ms, patience_ms);
    atomic_store(&v->stalled, still_ms > patience_ms);
    atomic_store(&v->looked_ns, now_ns);
}

bool vigil_stalled(const struct server *s) { return atomic_load(&s->vigil.stalled); }

bool server_lives(const struct server *s)
{
    enum { LOOKS_MISSED = 10 };
    double unseen_ms = clock_ms_since(atomic_load(&s->vigil.looked_ns));
    return !vigil_stalled(s) && unseen_ms < LOOKS_MISSED * WATCH_MS;
}
