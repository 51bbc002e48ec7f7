/* fuzz_chat.c: any template with any conversation: what it can do is found out, it is linted, rendered and encoded.
 *
 * An input: one byte for the vocabulary, the template, and then pieces that begin with byte 0x1e and a letter:
 *   m ROLE 0x1f TEXT [0x1f TEXT ...]   a message, with no part, one or several
 *   t TEXT    what it thought       c NAME 0x1f ARGUMENTS [0x1f ID]   a tool call of it
 *   i TEXT    its tool_call_id      n TEXT                            its name
 *   T, K, D   tools, template_kwargs, date      o LETTERS
 *             + - thinking on, off; g no generation prompt; f go on with the last message */
#include <stdio.h>

#include "base/arena.h"
#include "base/file.h"
#include "fuzz.h"
#include "text/chat/chat.h"

enum { MOST_FILE_BYTES = 64 << 10, MOST_MESSAGES = 12, MOST_PARTS = 4, MOST_CALLS = 3 };

static const char *const files[] = { "ok_vocab_bpe.gguf", "ok_vocab_spm.gguf", "ok_vocab_bpe_qwen2.gguf" };
static struct tokenizer *tokenizers[ARRAY_LEN(files)];

/* Once for the process: bytes and tokenizers stay until it ends. */
static void open_vocabularies(void)
{
    static char *bytes[ARRAY_LEN(files)];
    static struct gguf g[ARRAY_LEN(files)];
    for (size_t i = 0; i < ARRAY_LEN(files) && !tokenizers[i]; i++) {
        size_t n;
        char path[1024];
        snprintf(path, sizeof path, "%s/gguf/%s", HEARTH_GOLDEN_DIR, files[i]);
        must(file_read(path, MOST_FILE_BYTES, &bytes[i], &n, NULL));
        must(gguf_parse(&g[i], (const uint8_t *)bytes[i], n, NULL));
        tokenizers[i] = tokenizer_create(&g[i], NULL);
        must(tokenizers[i]);
    }
}

/* ---- the conversation ---- */

struct talk {
    hearth_chat chat;
    hearth_message messages[MOST_MESSAGES];
    hearth_text parts[MOST_MESSAGES][MOST_PARTS];
    hearth_tool_call calls[MOST_MESSAGES][MOST_CALLS];
};

/* Bytes still to be read; one more may be written at the end. */
struct rest {
    char *at, *end;
};

/* Up to the next `mark` or the end, and behind it: texts of the interface end with NUL, so the mark becomes that. */
static struct str cut(struct rest *r, char mark)
{
    char *p = r->at < r->end ? memchr(r->at, mark, (size_t)(r->end - r->at)) : NULL, *end = p ? p : r->end;
    struct str piece = { r->at, (size_t)(end - r->at) };
    *end = 0;
    r->at = p ? p + 1 : r->end;
    return piece;
}

static void add_message(struct talk *k, struct rest r)
{
    if (k->chat.n_messages == MOST_MESSAGES)
        return;
    size_t i = k->chat.n_messages++;
    hearth_message *m = &k->messages[i];
    m->role = cut(&r, 0x1f).ptr;
    m->parts = k->parts[i];
    while (r.at < r.end && m->n_parts < MOST_PARTS) {
        struct str part = cut(&r, 0x1f);
        k->parts[i][m->n_parts++] = (hearth_text){ part.ptr, part.len };
    }
}

static void add_call(struct talk *k, struct rest r)
{
    hearth_message *m = &k->messages[k->chat.n_messages - 1];
    hearth_tool_call *calls = k->calls[k->chat.n_messages - 1];
    if (m->n_tool_calls == MOST_CALLS)
        return;
    hearth_tool_call *c = &calls[m->n_tool_calls++];
    m->tool_calls = calls;
    c->name = cut(&r, 0x1f).ptr;
    c->arguments = cut(&r, 0x1f).ptr;
    c->id = r.at < r.end ? cut(&r, 0x1f).ptr : NULL;
}

static void set_options(hearth_chat *chat, const char *letters)
{
    if (strchr(letters, '+') || strchr(letters, '-'))
        chat->thinking = strchr(letters, '+') ? HEARTH_THINKING_ON : HEARTH_THINKING_OFF;
    chat->no_generation_prompt = strchr(letters, 'g');
    chat->continue_final_message = strchr(letters, 'f');
}

/* piece: without its letter. */
static void read_piece(struct talk *k, char kind, struct rest piece)
{
    hearth_message *m = k->chat.n_messages ? &k->messages[k->chat.n_messages - 1] : NULL;
    switch (kind) {
    case 'm': add_message(k, piece); return;
    case 'T': k->chat.tools = piece.at; return;
    case 'K': k->chat.template_kwargs = piece.at; return;
    case 'D': k->chat.date = piece.at; return;
    case 'o': set_options(&k->chat, piece.at); return;
    default: break;
    }
    if (m && kind == 'c')
        add_call(k, piece);
    else if (m && kind == 't')
        m->thinking = (hearth_text){ piece.at, (size_t)(piece.end - piece.at) };
    else if (m && kind == 'i')
        m->tool_call_id = piece.at;
    else if (m && kind == 'n')
        m->name = piece.at;
}

static void read_talk(struct talk *k, struct rest r)
{
    while (r.at < r.end) {
        char *begin = r.at;
        size_t n = cut(&r, 0x1e).len;
        if (n > 0)
            read_piece(k, begin[0], (struct rest){ begin + 1, begin + n });
    }
    k->chat.messages = k->messages;
}

/* ---- what must hold ---- */

static void check_findings(const struct chat *c)
{
    struct arena arena;
    const hearth_finding *findings;
    arena_init(&arena, 1 << 20);
    size_t n = chat_lint(c, &arena, &findings);
    must(n <= 32);
    for (size_t i = 0; i < n; i++) {
        must(findings[i].code[0] && findings[i].message[0]);
        fuzz_read(findings[i].message, strlen(findings[i].message));
        must(i == 0 || findings[i].level <= findings[i - 1].level);
    }
    arena_free(&arena);
}

static void check_traits(const struct chat *c)
{
    const struct chat_traits *t = chat_traits(c);
    must(strlen(chat_sha256(c)) == 64 && strlen(t->problem) < sizeof t->problem);
    fuzz_read(t->marks.open.ptr, t->marks.open.len);
    fuzz_read(t->marks.close.ptr, t->marks.close.len);
    fuzz_read(t->answer_end.ptr, t->answer_end.len);
    fuzz_read(t->stop_text.ptr, t->stop_text.len);
    must(!t->ends_answers || t->answer_end.len > 0);
}

/* Are these bytes of the prompt all the template's own? */
static bool is_trusted(const struct chat_prompt *p, size_t begin, size_t end)
{
    size_t at = 0;
    for (size_t i = 0; i < p->n_spans; at += p->spans[i++].n_bytes)
        if (!p->spans[i].trusted && begin < at + p->spans[i].n_bytes && at < end)
            return false;
    return true;
}

/* The pieces are the prompt, and no text of a message has become a control token. */
static void check_tokens(const struct tokenizer *t, const struct chat_prompt *p, const struct token_list *ids,
                         size_t from)
{
    static char scratch[4096 + 8];
    const struct vocab *v = tokenizer_vocab(t);
    size_t at = 0;
    for (size_t i = from; i < ids->n; i++) {
        must(ids->ids[i] >= 0 && ids->ids[i] < v->n_tokens);
        struct str piece = tokenizer_piece(t, ids->ids[i], true, scratch, sizeof scratch);
        must(piece.len <= p->text.len - at && memcmp(piece.ptr, p->text.ptr + at, piece.len) == 0);
        must(v->type[ids->ids[i]] != TOKEN_CONTROL || is_trusted(p, at, at + piece.len));
        at += piece.len;
    }
    must(at == p->text.len);
}

static void check_prompt(const struct chat *c, const struct tokenizer *t, bool exact, const struct chat_prompt *p)
{
    struct token_list ids = { 0 };
    bool bos_added;
    size_t at = 0, n_kept = 0;
    hearth_error err = { 0 };
    for (size_t i = 0; i < p->n_spans; i++) {
        must(p->spans[i].text == p->text.ptr + at && p->spans[i].n_bytes > 0);
        at += p->spans[i].n_bytes;
    }
    must(at == p->text.len);
    fuzz_read(p->text.ptr, p->text.len);
    if (!chat_encode(c, p, &ids, &bos_added, &n_kept, &err))
        must(err.message[0]);
    else if (exact)
        check_tokens(t, p, &ids, bos_added);
    token_list_free(&ids);
}

static void converse(const struct chat *c, const struct tokenizer *t, bool exact, const hearth_chat *chat)
{
    struct chat_input in;
    struct chat_prompt prompt = { 0 };
    hearth_error err = { 0 };
    if (!chat_input_make(c, chat, &in, &err)) {
        must(err.status == HEARTH_ERR_USAGE && err.message[0]);
    } else if (!chat_render(c, &in, &prompt, &err)) {
        must(err.status != HEARTH_OK && err.message[0]);
    } else {
        fuzz_read(in.notes, strlen(in.notes));
        check_prompt(c, t, exact, &prompt);
    }
    chat_prompt_free(&prompt);
    chat_input_free(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct talk k = { .chat.date = "2026-02-07 15:04:05" };
    hearth_error err = { 0 };
    if (size == 0)
        return 0;
    open_vocabularies();
    size_t which = data[0] % ARRAY_LEN(files), n = size - 1;
    char *copy = malloc(n + 1);
    must(copy);
    memcpy(copy, data + 1, n);
    struct rest rest = { copy, copy + n };
    struct chat *c = chat_create(cut(&rest, 0x1e), tokenizers[which], &err);
    must(c || err.message[0]);
    if (c) {
        read_talk(&k, rest);
        check_traits(c);
        check_findings(c);
        converse(c, tokenizers[which], which == 0, &k.chat);
    }
    chat_destroy(c);
    free(copy);
    return 0;
}
