/* chat.h: conversations in the words of a model's own template.
 *
 * A template is a program that nobody described. What it can do is found out once, by
 * rendering small conversations and looking for their texts (probe.c); messages are then
 * given to it in the form it understands, and what would not reach the model is refused.
 * Immutable after creation: any number of threads may render at once. */
#pragma once
#include "text/chat/thinking.h"
#include "text/jinja/jinja.h"
#include "text/special.h"
#include "text/tokenizer.h"

/* What becomes of something that a conversation may hold. */
enum chat_fate {
    FATE_UNKNOWN, /* the template does not render the simplest conversation: nothing is known */
    FATE_DROPPED, /* its text is not in the prompt */
    FATE_REFUSED, /* the template raises an error of its own */
    FATE_KEPT,
};

struct chat_traits {
    enum chat_fate system, developer, tools, tool_calls, tool_results, thinking;
    bool parts;             /* content in parts gives the same prompt as in one text */
    bool needs_parts;       /* content in one text is lost */
    bool needs_text;        /* content of a message that only calls tools must be "", not none */
    bool arguments_as_text; /* of tool calls: JSON text, not an object */
    bool uses_date;
    bool has_generation_prompt;
    bool ends_answers;           /* answer_end holds a token that ends generation */
    const char *thinking_key;    /* of a message: "reasoning_content"; NULL: none */
    const char *thinking_switch; /* "enable_thinking"; NULL: none */
    struct thinking_marks marks;
    struct str answer_end;       /* what stands behind an answer */
    struct str stop_text;        /* ends an answer where no token does; empty: not needed */
    char problem[320];           /* why the simplest conversation does not render; "" */
};

struct chat; /* opaque: chat_impl.h */

/* source: Jinja text, copied. t must outlive it. HEARTH_ERR_FORMAT when it does not compile. */
struct chat *chat_create(struct str source, const struct tokenizer *t, hearth_error *err);
void chat_destroy(struct chat *c); /* NULL is fine */
const struct chat_traits *chat_traits(const struct chat *c);
const char *chat_sha256(const struct chat *c); /* of the source; lives as long as c */

/* Special tokens inside the marks of thinking: their text is looked for, though it is shown to nobody. */
bool chat_is_mark(const struct chat *c, int32_t id);
/* Inside the closing mark: there it does not end an answer (gpt-oss ends thinking with <|end|>). */
bool chat_is_close(const struct chat *c, int32_t id);

/* What is wrong with it: at most 32 findings, the worst first, in arena. Returns how many. When memory runs out there
 * is one with this code and no other. */
#define CHAT_LINT_NO_MEMORY "out-of-memory"
size_t chat_lint(const struct chat *c, struct arena *arena, const hearth_finding **findings);
size_t chat_lint_no_memory(const hearth_finding **findings); /* that one */

/* A conversation ready to be rendered. */
struct chat_input {
    json_t *values;
    struct jinja_date date;
    char date_text[20];
    bool generation_prompt;
    struct str go_on; /* continue_final_message: the text to end with; lies in values */
    char notes[512];  /* one line each: what was changed to suit the template */
};

/* Copies everything. HEARTH_ERR_USAGE names the message and what the template lacks. Release with
 * chat_input_free(), also after a failure. */
bool chat_input_make(const struct chat *c, const hearth_chat *chat, struct chat_input *out, hearth_error *err);
void chat_input_free(struct chat_input *in);

/* A turn is a user's message with what follows up to the next one. How many of the oldest may be left out so that the
 * messages of the system at the beginning and the last one of a user stay. */
size_t chat_input_turns(const struct chat_input *in);
/* The same without the n oldest turns, which are *n_messages messages. False: no memory. Texts are shared: release it
 * with chat_input_free(), and before `in`. */
bool chat_input_without(const struct chat_input *in, size_t n_turns, struct chat_input *out, size_t *n_messages);

struct chat_prompt {
    struct str text;
    hearth_span *spans; /* cover text */
    size_t n_spans;
    bool starts_thinking;
    struct jinja_output out; /* owns it all */
};

/* Release with chat_prompt_free(), also after a failure. */
bool chat_render(const struct chat *c, const struct chat_input *in, struct chat_prompt *out, hearth_error *err);
void chat_prompt_free(struct chat_prompt *p);

/* Tokens of a prompt, BOS in front where the file asks for it and the template does not write it. */
bool chat_encode(const struct chat *c, const struct chat_prompt *p, struct token_list *out, bool *bos_added,
                 size_t *n_specials_kept, hearth_error *err);
