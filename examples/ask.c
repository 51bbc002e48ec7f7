/* ask.c: two questions to a model at once, printed as the answers come.
 *
 *   cc -std=c17 ask.c $(pkg-config --cflags --libs hearth) -o ask
 *   ./ask MODEL.gguf "What is a hearth?" "And an ember?"
 *
 * Both answers are computed together, step by step; each line begins with whose it is. */
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

#include "hearth/hearth.h"

enum { N_QUESTIONS = 2, MAX_TOKENS = 48 };

/* Called on the engine's thread: it may only signal. */
static void wake(void *arg) { sem_post(arg); }

static hearth_stream *ask(hearth_model *model, const char *text, hearth_error *err)
{
    hearth_text part = { .text = text, .n_bytes = strlen(text) };
    hearth_message message = { .role = "user", .parts = &part, .n_parts = 1 };
    hearth_chat chat = { .messages = &message, .n_messages = 1 };
    hearth_span span = { .text = text, .n_bytes = strlen(text) };
    hearth_request request = { .max_tokens = MAX_TOKENS };
    hearth_template_info template;
    hearth_sampling_defaults(model, &request.sampling, request.sampling_origin);
    if (hearth_file_template(hearth_model_file(model), &template)) {
        request.chat = &chat;
    } else { /* a model that only completes texts */
        request.spans = &span;
        request.n_spans = 1;
    }
    return hearth_submit(model, &request, err); /* copies all of it */
}

/* Prints what has come; false after the end. */
static bool print_events(hearth_stream *stream, int number, int *speaks)
{
    hearth_event event;
    while (hearth_stream_poll(stream, &event)) {
        if (event.n_bytes > 0) {
            if (*speaks != number)
                printf("%s[%d] ", *speaks ? "\n" : "", number);
            *speaks = number;
            fwrite(event.text, 1, event.n_bytes, stdout);
            fflush(stdout);
        }
        if (event.type == HEARTH_EVENT_END)
            return false;
    }
    return true;
}

static void print_end(const hearth_stream *stream, int number)
{
    hearth_receipt r;
    if (!hearth_stream_receipt(stream, &r))
        return;
    if (r.reason == HEARTH_END_ERROR)
        printf("[%d] failed: %s\n", number, hearth_stream_error(stream)->message);
    printf("[%d] %d prompt tokens (%d were there), first token after %.1f ms, %d tokens in %.1f ms; ended by: %s; "
           "seed %llu, %s, revision %d\n", number, r.n_prompt_tokens, r.n_cached_tokens, r.first_token_ms,
           r.n_output_tokens, r.decode_ms, r.finish_detail, (unsigned long long)r.seed, r.isa, r.arithmetic_revision);
}

static bool talk(hearth_model *model, char **questions, hearth_error *err)
{
    hearth_stream *streams[N_QUESTIONS] = { NULL };
    bool runs[N_QUESTIONS] = { false };
    int n_running = 0, speaks = 0;
    sem_t news;
    sem_init(&news, 0, 0);
    for (int i = 0; i < N_QUESTIONS; i++) {
        streams[i] = ask(model, questions[i], err);
        if (!streams[i])
            break;
        hearth_stream_on_wake(streams[i], wake, &news);
        runs[i] = true;
        n_running++;
        sem_post(&news); /* what came before wake was known */
    }
    bool ok = n_running == N_QUESTIONS;
    while (ok && n_running > 0) {
        while (sem_wait(&news) != 0)
            ;
        for (int i = 0; i < N_QUESTIONS; i++) {
            if (runs[i] && !print_events(streams[i], i + 1, &speaks)) {
                runs[i] = false;
                n_running--;
            }
        }
    }
    if (ok)
        printf("\n\n");
    for (int i = 0; i < N_QUESTIONS && streams[i]; i++) {
        hearth_stream_on_wake(streams[i], NULL, NULL); /* before `news` goes */
        if (ok)
            print_end(streams[i], i + 1);
        hearth_stream_close(streams[i]);
    }
    sem_destroy(&news);
    return ok;
}

int main(int argc, char **argv)
{
    hearth_error err = { 0 };
    if (argc != 2 + N_QUESTIONS) {
        fprintf(stderr, "usage: ask MODEL.gguf QUESTION QUESTION\n");
        return 2;
    }
    hearth_engine_options engine_options = { .n_seqs = N_QUESTIONS };
    hearth_model_options model_options = { .source = { .path = argv[1] } };
    hearth_engine *engine = hearth_engine_create(&engine_options, &err);
    hearth_model *model = engine ? hearth_model_open(engine, &model_options, &err) : NULL;
    bool ok = model && talk(model, argv + 2, &err);
    if (!ok)
        fprintf(stderr, "ask: %s\n", err.message);
    hearth_model_release(model);
    hearth_engine_destroy(engine);
    return ok ? 0 : 1;
}
