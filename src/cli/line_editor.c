#include "cli/line_editor.h"

#include <editline/readline.h>
#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/utf8.h"
#include "cli/interrupt.h"

enum { PLAIN_BYTES = 1 << 16, LINE_LIMIT_BYTES = 64 << 20, HISTORY_LIMIT_BYTES = 16 << 20, HISTORY_ENTRIES = 1000 };
enum { REPLACEMENT_CHARACTER = 0xfffd, PREFILL_KEY = 0x1f };

static const char history_heading[] = "# hearth: what was typed, oldest first; \\n is a new line, \\\\ a backslash\n";

struct line_editor {
    bool terminal; /* somebody sits there: prompts are shown */
    EditLine *el;  /* NULL: plain lines */
    History *history;
    char *history_path; /* mem_alloc'ed; NULL: none */
    line_complete_fn *complete;

    const char *prompt, *prefill; /* of the line being read */
    uint8_t bytes[4];             /* the beginning of a character */
    size_t n_bytes;

    char *plain; /* [PLAIN_BYTES] read and not yet taken: [plain_at, plain_end) */
    size_t plain_at, plain_end;
};

/* ---- signals that concern a line being edited ---- */

static atomic_int resized, continued; /* written by handlers, on any thread */

static void on_terminal_signal(int signal_number)
{
    if (signal_number == SIGWINCH)
        resized = 1;
    else
        continued = 1;
    interrupt_wake(NULL);
}

static void watch_terminal(void)
{
    struct sigaction action = { .sa_handler = on_terminal_signal, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    sigaction(SIGWINCH, &action, NULL);
    sigaction(SIGCONT, &action, NULL);
}

/* ---- keys ---- */

static struct line_editor *editor_of(EditLine *el)
{
    void *e = NULL;
    el_get(el, EL_CLIENTDATA, &e);
    return e;
}

/* One byte of standard input. False at its end and when interrupted. */
static bool read_byte(struct line_editor *e, uint8_t *byte)
{
    for (;;) {
        if (atomic_exchange(&resized, 0)) {
            el_resize(e->el);
        }
        if (atomic_exchange(&continued, 0)) { /* the shell had the terminal meanwhile */
            el_set(e->el, EL_PREP_TERM, 1);
            el_set(e->el, EL_REFRESH);
        }
        if (interrupt_pending())
            return false;
        if (!interrupt_wait_input(STDIN_FILENO))
            continue;
        ssize_t got = read(STDIN_FILENO, byte, 1);
        if (got > 0)
            return true;
        if (got == 0 || (errno != EINTR && errno != EAGAIN))
            return false;
    }
}

/* One character; what is not UTF-8 becomes U+FFFD, where everybody can see it. */
static bool read_character(struct line_editor *e, wchar_t *out)
{
    for (;;) {
        int bad = 0;
        bool cut_off = false;
        int length = e->n_bytes > 0 ? utf8_length(e->bytes, e->n_bytes, &bad, &cut_off) : 0;
        size_t taken = length > 0 ? (size_t)length : (size_t)bad;
        if (length > 0 || (e->n_bytes > 0 && !cut_off)) {
            *out = length > 0 ? (wchar_t)utf8_code_point(e->bytes, length) : REPLACEMENT_CHARACTER;
            e->n_bytes -= taken;
            memmove(e->bytes, e->bytes + taken, e->n_bytes);
            return true;
        }
        if (!read_byte(e, &e->bytes[e->n_bytes])) {
            e->n_bytes = 0;
            return false;
        }
        e->n_bytes++;
    }
}

/* libedit asks here for each character. */
static int next_character(EditLine *el, wchar_t *out)
{
    struct line_editor *e = editor_of(el);
    if (e->prefill) {
        *out = PREFILL_KEY;
        return 1;
    }
    return read_character(e, out) ? 1 : -1;
}

/* As if a key had typed it: libedit then knows what is on the screen. */
static unsigned char insert_prefill(EditLine *el, int key)
{
    (void)key;
    struct line_editor *e = editor_of(el);
    const char *text = e->prefill;
    e->prefill = NULL;
    return text && el_insertstr(el, text) == 0 ? CC_REFRESH : CC_ERROR;
}

static char *prompt_of(EditLine *el) { return (char *)editor_of(el)->prompt; }

static unsigned char insert_newline(EditLine *el, int key)
{
    (void)key;
    return el_insertstr(el, "\n") == 0 ? CC_REFRESH : CC_ERROR;
}

static const wchar_t paste_end[] = L"\033[201~";
enum { PASTE_END = sizeof paste_end / sizeof *paste_end - 1 };

/* The terminal marks what is pasted, so its newlines do not send anything. */
static unsigned char paste(EditLine *el, int key)
{
    (void)key;
    struct line_editor *e = editor_of(el);
    struct buf text = { 0 }; /* of wide characters */
    size_t n = 0;
    wchar_t c;
    while (n * sizeof c < LINE_LIMIT_BYTES && read_character(e, &c)) {
        c = c == L'\r' ? L'\n' : c;
        buf_put(&text, &c, sizeof c);
        n++;
        if (text.failed)
            break;
        if (n >= PASTE_END && memcmp(text.ptr + (n - PASTE_END) * sizeof c, paste_end, PASTE_END * sizeof c) == 0) {
            n -= PASTE_END;
            break;
        }
    }
    c = 0;
    text.len = min_size(text.len, n * sizeof c);
    buf_put(&text, &c, sizeof c);
    bool ok = !text.failed && el_winsertstr(el, (const wchar_t *)(const void *)text.ptr) == 0;
    buf_free(&text);
    return ok || n == 0 ? CC_REFRESH : CC_ERROR;
}

/* ---- completion ---- */

/* Words that begin with what stands there, and how far they agree. */
struct found {
    struct buf list;   /* the words, two spaces between */
    struct buf common; /* their common beginning */
    size_t n;
};

static void take_candidate(struct found *f, const char *candidate, const char *word)
{
    size_t agree = 0;
    if (strncmp(candidate, word, strlen(word)) != 0)
        return;
    buf_printf(&f->list, "%s%s", f->n > 0 ? "  " : "", candidate);
    if (f->n++ == 0) {
        buf_puts(&f->common, candidate);
        return;
    }
    while (agree < f->common.len && candidate[agree] == f->common.ptr[agree])
        agree++;
    while (agree > 0 && ((unsigned char)f->common.ptr[agree] & 0xc0) == 0x80)
        agree--; /* not inside a character */
    if (f->common.ptr) {
        f->common.len = agree;
        f->common.ptr[agree] = 0;
    }
}

static void find_candidates(struct found *f, const struct completion *c, const char *word)
{
    for (size_t i = 0; i < c->n_words; i++)
        take_candidate(f, c->words[i], word);
    for (int state = 0; c->files; state = 1) {
        char *name = filename_completion_function(word, state);
        if (!name)
            break;
        take_candidate(f, name, word);
        free(name); /* libedit's */
    }
}

static unsigned char complete_word(EditLine *el, int key)
{
    (void)key;
    struct line_editor *e = editor_of(el);
    const LineInfo *line = el_line(el);
    struct buf before = { 0 };
    struct completion c = { 0 };
    struct found f = { 0 };
    unsigned char result = CC_ERROR; /* a beep */
    buf_put(&before, line->buffer, (size_t)(line->cursor - line->buffer));
    if (!before.failed && e->complete)
        e->complete(before.ptr, &c);
    if (c.n_words > 0 || c.files)
        find_candidates(&f, &c, before.ptr + c.from);
    size_t n_typed = before.len - min_size(c.from, before.len);
    if (f.n == 1 && !c.files)
        buf_puts(&f.common, " ");
    if (f.list.failed || f.common.failed || f.n == 0) {
        result = CC_ERROR;
    } else if (f.common.len > n_typed) {
        result = el_insertstr(el, f.common.ptr + n_typed) == 0 ? CC_REFRESH : CC_ERROR;
    } else if (f.n > 1) {
        fprintf(stderr, "\n%s\n", f.list.ptr);
        result = CC_REDISPLAY;
    }
    buf_free(&before);
    buf_free(&f.list);
    buf_free(&f.common);
    return result;
}

/* ---- history ---- */

static void put_entry(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            buf_puts(out, "\\n");
        else if (*text == '\\')
            buf_puts(out, "\\\\");
        else
            buf_put(out, text, 1);
    }
    buf_puts(out, "\n");
}

/* In place. */
static void read_entry(char *line)
{
    char *out = line;
    for (const char *p = line; *p; p++) {
        if (*p == '\\' && p[1])
            *out++ = *++p == 'n' ? '\n' : *p;
        else
            *out++ = *p;
    }
    *out = 0;
}

static bool load_history(struct line_editor *e, hearth_error *err)
{
    HistEvent event;
    char *text;
    size_t n;
    if (!e->history_path || access(e->history_path, F_OK) != 0)
        return true;
    if (!file_read(e->history_path, HISTORY_LIMIT_BYTES, &text, &n, err))
        return false;
    bool ok = n == 0 || strncmp(text, history_heading, sizeof history_heading - 1) == 0;
    for (char *line = text + sizeof history_heading - 1; ok && n > 0 && *line;) {
        size_t length = strcspn(line, "\n");
        bool last = !line[length];
        line[length] = 0;
        read_entry(line);
        history(e->history, &event, H_ENTER, line);
        line += length + !last;
    }
    mem_free(text);
    return ok || fail(err, HEARTH_ERR_FORMAT, "--history %.200s is not a history of hearth and would be overwritten; "
                      "name another file", e->history_path);
}

static bool save_history(struct line_editor *e, hearth_error *err)
{
    HistEvent event;
    struct file_writer w;
    struct buf all = { 0 };
    buf_puts(&all, history_heading);
    for (int got = history(e->history, &event, H_LAST); got == 0; got = history(e->history, &event, H_PREV))
        put_entry(&all, event.str);
    if (all.failed) {
        buf_free(&all);
        return fail_memory(err, "the history");
    }
    bool ok = file_writer_open_private(&w, e->history_path, err);
    if (ok) {
        file_write(&w, all.ptr, all.len);
        ok = file_writer_commit(&w, err);
    }
    buf_free(&all);
    return ok;
}

bool line_editor_remember(struct line_editor *e, const char *text, hearth_error *err)
{
    HistEvent event;
    if (!e->el)
        return true;
    if (history(e->history, &event, H_ENTER, text) < 0)
        return fail_memory(err, "the history");
    return !e->history_path || save_history(e, err);
}

/* ---- opening ---- */

/* libedit keeps a line in wide characters and gives it back by LC_CTYPE. */
static bool want_utf8(void)
{
    for (int i = 0; i < 2; i++) {
        wchar_t c = 0;
        if (setlocale(LC_CTYPE, i == 0 ? "" : "C.UTF-8") && mbtowc(&c, "\xc3\xa9", 2) == 2 && c == 0xe9)
            return true;
    }
    setlocale(LC_CTYPE, "C");
    return false;
}

static void bind_keys(EditLine *el)
{
    el_set(el, EL_EDITOR, "emacs");
    /* Wide: the narrow form makes copies of the names that nobody frees. */
    el_wset(el, EL_ADDFN, L"hearth-complete", L"complete the word", complete_word);
    el_wset(el, EL_ADDFN, L"hearth-newline", L"a new line in the message", insert_newline);
    el_wset(el, EL_ADDFN, L"hearth-prefill", L"the text to begin with", insert_prefill);
    el_wset(el, EL_ADDFN, L"hearth-paste", L"what the terminal pastes", paste);
    el_set(el, EL_BIND, "^I", "hearth-complete", NULL);
    el_set(el, EL_BIND, "\\e\\r", "hearth-newline", NULL);
    el_set(el, EL_BIND, "\\e\\n", "hearth-newline", NULL);
    el_set(el, EL_BIND, "^_", "hearth-prefill", NULL);
    el_set(el, EL_BIND, "\\e[200~", "hearth-paste", NULL);
    el_set(el, EL_BIND, "^W", "ed-delete-prev-word", NULL);
    el_set(el, EL_BIND, "^R", "em-inc-search-prev", NULL);
}

static bool open_terminal(struct line_editor *e, hearth_error *err)
{
    HistEvent event;
    e->el = el_init("hearth", stdin, stderr, stderr);
    e->history = history_init();
    if (!e->el || !e->history)
        return fail_memory(err, "the line editor");
    history(e->history, &event, H_SETSIZE, HISTORY_ENTRIES);
    history(e->history, &event, H_SETUNIQUE, 1);
    el_set(e->el, EL_CLIENTDATA, e);
    el_set(e->el, EL_PROMPT, prompt_of);
    el_set(e->el, EL_HIST, history, e->history);
    el_wset(e->el, EL_GETCFN, next_character);
    bind_keys(e->el);
    watch_terminal();
    return load_history(e, err);
}

struct line_editor *line_editor_open(line_complete_fn *complete, const char *history_path, hearth_error *err)
{
    struct line_editor *e = mem_alloc(sizeof *e);
    if (!e) {
        fail_memory(err, "the line editor");
        return NULL;
    }
    e->complete = complete;
    e->terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    bool ok = true;
    if (history_path) {
        e->history_path = mem_alloc(strlen(history_path) + 1);
        ok = e->history_path || fail_memory(err, "the line editor");
        if (ok)
            strcpy(e->history_path, history_path);
    }
    if (ok && e->terminal && want_utf8()) {
        ok = open_terminal(e, err);
    } else if (ok) {
        e->plain = mem_alloc(PLAIN_BYTES);
        ok = e->plain || fail_memory(err, "the line editor");
    }
    if (ok)
        return e;
    line_editor_close(e);
    return NULL;
}

void line_editor_close(struct line_editor *e)
{
    if (!e)
        return;
    if (e->el)
        el_end(e->el);
    if (e->history)
        history_end(e->history);
    mem_free(e->history_path);
    mem_free(e->plain);
    mem_free(e);
}

bool line_editor_on_terminal(const struct line_editor *e) { return e->terminal; }

/* ---- reading ---- */

static enum line_result read_edited(struct line_editor *e, struct buf *line)
{
    int n = 0;
    fputs("\033[?2004h", stderr); /* mark what is pasted */
    const char *text = el_gets(e->el, &n);
    fputs("\033[?2004l", stderr);
    if (interrupt_pending()) {
        fputs("^C\n", stderr);
        return LINE_INTERRUPTED;
    }
    if (!text || n <= 0) {
        fputc('\n', stderr);
        return LINE_END;
    }
    buf_put(line, text, (size_t)n - (text[n - 1] == '\n'));
    return LINE_READ;
}

static enum line_result fill_plain(struct line_editor *e, hearth_error *err)
{
    for (;;) {
        if (interrupt_pending())
            return LINE_INTERRUPTED;
        if (!interrupt_wait_input(STDIN_FILENO))
            continue;
        ssize_t got = read(STDIN_FILENO, e->plain, PLAIN_BYTES);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got < 0) {
            fail(err, HEARTH_ERR_IO, "cannot read standard input: %s", strerror(errno));
            return LINE_FAILED;
        }
        e->plain_at = 0;
        e->plain_end = (size_t)got;
        return got > 0 ? LINE_READ : LINE_END;
    }
}

static enum line_result read_plain(struct line_editor *e, struct buf *line, hearth_error *err)
{
    bool any = false;
    for (;;) {
        if (e->plain_at == e->plain_end) {
            enum line_result r = fill_plain(e, err);
            if (r == LINE_END && any)
                return LINE_READ; /* the last line may lack its newline */
            if (r != LINE_READ)
                return r;
        }
        const char *from = e->plain + e->plain_at;
        size_t room = e->plain_end - e->plain_at;
        const char *newline = memchr(from, '\n', room);
        size_t n = newline ? (size_t)(newline - from) : room;
        any = true;
        if (line->len + n > LINE_LIMIT_BYTES) {
            fail(err, HEARTH_ERR_USAGE, "a line of standard input is longer than %d MiB", LINE_LIMIT_BYTES >> 20);
            return LINE_FAILED;
        }
        buf_put(line, from, n);
        e->plain_at += n + (newline != NULL);
        if (newline)
            return LINE_READ;
    }
}

enum line_result line_editor_read(struct line_editor *e, const char *prompt, const char *prefill, struct buf *line,
                                  hearth_error *err)
{
    e->prompt = prompt;
    e->prefill = prefill;
    if (!e->el && e->terminal)
        fputs(prompt, stderr);
    enum line_result r = e->el ? read_edited(e, line) : read_plain(e, line, err);
    if (r == LINE_READ && line->failed) {
        fail_memory(err, "a line of input");
        return LINE_FAILED;
    }
    return r;
}
