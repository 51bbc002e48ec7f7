/* cmd_key.c: API keys of hearth serve: made, listed, revoked. The file is the only place where they are. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "cli/command.h"
#include "server/key_file.h"

enum { KEY_FILE_MAX_BYTES = 1 << 20, SECRET_BYTES = 32, KEY_ROOM = 80 };
enum { FILE_OPTION, LIMIT, ALLOW, N_OPTS };

#define FILE_ROW { .name = "api-key-file", .type = OPT_TEXT, .value = "FILE", \
                   .help = "the file of keys, the same that hearth serve is given" }

static const struct opt options[N_OPTS] = {
    [FILE_OPTION] = FILE_ROW,
    [LIMIT] = { .name = "limit", .type = OPT_LIST, .value = "WHAT=N",
                .help = "requests=N: only so many at once; tokens=N: only so many in a minute, of prompts and "
                        "answers" },
    [ALLOW] = { .name = "allow", .type = OPT_LIST, .value = "WHAT",
                .help = "observer: it may see the usage of all keys (/hearth/usage, /metrics); admin: that, and it may "
                        "end the requests of all" },
};

/* ---- the file ---- */

struct edit {
    const struct command *command;
    const char *path;
    char *text; /* as it is */
    int folder; /* locked */
    struct buf out;
};

static int end_edit(struct edit *e, int code)
{
    folder_unlock(e->folder);
    mem_free(e->text);
    buf_free(&e->out);
    return code;
}

/* To be changed: nobody else changes it until end_edit(). */
static bool begin_edit(struct edit *e, bool may_be_new, bool changes, hearth_error *err)
{
    uint64_t device = 0, inode = 0;
    size_t n = 0;
    if (!e->path)
        return fail(err, HEARTH_ERR_USAGE, "which file? Give --api-key-file FILE (or HEARTH_API_KEY_FILE), the one "
                    "that hearth serve is given");
    if (changes && file_is_link(e->path)) /* a new file would take the place of the link, not of what it leads to */
        return fail(err, HEARTH_ERR_USAGE, "%s is a symbolic link; name the file that it leads to", e->path);
    if (changes && (e->folder = folder_lock(e->path, err)) < 0)
        return false;
    int there = may_be_new ? file_identity(e->path, &device, &inode, err) : 1;
    if (there < 0)
        return false;
    if (there)
        return file_read(e->path, KEY_FILE_MAX_BYTES, &e->text, &n, err);
    e->text = mem_alloc(1);
    return e->text || fail_memory(err, "the API keys");
}

static bool write_back(struct edit *e, hearth_error *err)
{
    struct file_writer w;
    if (!file_writer_open_private(&w, e->path, err))
        return false;
    if (!file_writer_keep_access(&w, err)) {
        file_writer_abort(&w);
        return false;
    }
    file_write(&w, e->out.ptr ? e->out.ptr : "", e->out.len);
    return file_writer_commit(&w, err);
}

static struct edit edit_of(const struct command *c, const struct args *a)
{
    return (struct edit){ .command = c, .path = a->value[FILE_OPTION].text, .folder = -1 };
}

static int refuse_edit(struct edit *e, const hearth_error *err)
{
    int code = err->status == HEARTH_ERR_USAGE ? usage_error(e->command, "%s", err->message) : report(err);
    return end_edit(e, code);
}

/* ---- add ---- */

/* 256 bits in letters and digits that a double click takes as one word. */
static bool make_key(char key[KEY_ROOM], char sha256[65], hearth_error *err)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    enum { N_DIGITS = 43, USABLE = 248 }; /* 62^43 > 2^256; bytes from 248 on would favour the first digits */
    size_t n = (size_t)snprintf(key, KEY_ROOM, "hearth_");
    for (int made = 0; made < N_DIGITS;) {
        unsigned char bytes[SECRET_BYTES];
        if (!rng_secret(bytes, sizeof bytes))
            return fail(err, HEARTH_ERR_IO, "the system gives no random bytes for a key; try again");
        for (int i = 0; i < SECRET_BYTES && made < N_DIGITS; i++)
            if (bytes[i] < USABLE) {
                key[n++] = digits[bytes[i] % 62];
                made++;
            }
    }
    key[n] = 0;
    struct sha256 *s = sha256_new();
    if (!s)
        return fail_memory(err, "a key");
    sha256_add(s, key, n);
    sha256_hex(s, sha256);
    sha256_free(s);
    return true;
}

static bool put_words(struct buf *words, const struct args *a, hearth_error *err)
{
    for (int option = LIMIT; option <= ALLOW; option++)
        for (int i = 0; i < a->value[option].n_list; i++) {
            const char *word = a->value[option].list[i];
            bool is_limit = strchr(word, '=') != NULL;
            if (!*word || strpbrk(word, " \t\r\n#") || is_limit != (option == LIMIT) || strncmp(word, "name=", 5) == 0)
                return fail(err, HEARTH_ERR_USAGE, "--%s '%.80s' is none; %s", options[option].name, word,
                            options[option].help);
            buf_printf(words, "%s%s", words->len ? " " : "", word);
        }
    return !words->failed || fail_memory(err, "the words of a key");
}

static bool add(struct edit *e, const struct args *a, char key[KEY_ROOM], hearth_error *err)
{
    char sha256[65], time[32], note[48];
    struct buf words = { 0 };
    clock_utc(time);
    snprintf(note, sizeof note, "added %.10s", time);
    bool ok = put_words(&words, a, err) && begin_edit(e, true, true, err) && make_key(key, sha256, err)
              && key_file_add(&e->out, e->text, e->path, sha256, a->word[0], words.len ? words.ptr : "", note, err)
              && write_back(e, err);
    buf_free(&words);
    return ok;
}

static int run_add(const struct args *a)
{
    char key[KEY_ROOM];
    hearth_error err = { 0 };
    struct edit e = edit_of(&cmd_key_add, a);
    if (a->n_words == 0)
        return usage_error(&cmd_key_add, "which name? It stands in logs, metrics and /hearth/usage in place of the "
                           "key");
    if (!add(&e, a, key, &err))
        return refuse_edit(&e, &err);
    printf("%s\n", key);
    say("this is the key of '%s'; it is shown this once, and %s has only its hash. A server that runs reads the file "
        "again on SIGHUP", a->word[0], e.path);
    return end_edit(&e, EXIT_DONE);
}

/* ---- list, revoke ---- */

static int run_list(const struct args *a)
{
    hearth_error err = { 0 };
    struct edit e = edit_of(&cmd_key_list, a);
    if (!begin_edit(&e, false, false, &err) || !key_file_list(&e.out, e.text, e.path, &err))
        return refuse_edit(&e, &err);
    fwrite(e.out.ptr, 1, e.out.len, stdout);
    return end_edit(&e, EXIT_DONE);
}

static int run_revoke(const struct args *a)
{
    hearth_error err = { 0 };
    struct edit e = edit_of(&cmd_key_revoke, a);
    if (a->n_words == 0)
        return usage_error(&cmd_key_revoke, "whose key? hearth key list shows the names");
    if (!begin_edit(&e, false, true, &err) || !key_file_revoke(&e.out, e.text, e.path, a->word[0], &err)
        || !write_back(&e, &err))
        return refuse_edit(&e, &err);
    say("'%s' has no key any more. A server that runs takes it until it reads the file again: SIGHUP", a->word[0]);
    return end_edit(&e, EXIT_DONE);
}

const struct command cmd_key_add = {
    .name = "key add",
    .positionals = "NAME",
    .max_words = 1,
    .summary = "make an API key for hearth serve, and show it this once",
    .about = "The key is printed; the file gets a line with its SHA-256, its name and its limits, and is made if it is "
             "not\n"
             "there (mode 0600). A server that runs reads the file again on SIGHUP; what it streams goes on.\n",
    .opts = options,
    .n_opts = N_OPTS,
    .run = run_add,
};

static const struct opt file_options[] = { FILE_ROW };

const struct command cmd_key_list = {
    .name = "key list",
    .positionals = "",
    .summary = "the names of API keys, with their limits",
    .opts = file_options,
    .n_opts = ARRAY_LEN(file_options),
    .run = run_list,
};

const struct command cmd_key_revoke = {
    .name = "key revoke",
    .positionals = "NAME",
    .max_words = 1,
    .summary = "take an API key out of the file",
    .about = "A key without a name is called line-N, after its line. The last key stays: a server takes no file "
             "without\none.\n",
    .opts = file_options,
    .n_opts = ARRAY_LEN(file_options),
    .run = run_revoke,
};
