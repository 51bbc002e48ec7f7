/* detok.c: token ids to text. */
#include <string.h>

#include "base/utf8.h"
#include "text/byte_alphabet.h"
#include "text/tokenizer.h"

/* U+2581 back to spaces. */
static struct str piece_spm(struct str text, char *scratch, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len && n < room;) {
        bool space = text.len - i >= 3 && memcmp(text.ptr + i, "\xe2\x96\x81", 3) == 0;
        scratch[n++] = space ? ' ' : text.ptr[i];
        i += space ? 3 : 1;
    }
    return (struct str){ scratch, n };
}

/* WordPiece where "##" continues a word: a space before what does not. */
static struct str piece_hashes(struct str text, char *scratch, size_t room)
{
    bool continues = text.len > 2 && memcmp(text.ptr, "##", 2) == 0;
    size_t n = 0;
    if (!continues && room > 0)
        scratch[n++] = ' ';
    for (size_t i = continues ? 2 : 0; i < text.len && n < room; i++)
        scratch[n++] = text.ptr[i];
    return (struct str){ scratch, n };
}

/* The byte alphabet back to bytes; what is not of it stays as it is. */
static struct str piece_bpe(struct str text, char *scratch, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len && n < room;) {
        const uint8_t *p = (const uint8_t *)text.ptr + i;
        int length = utf8_length(p, text.len - i, NULL, NULL);
        int byte = length > 0 ? byte_of_char(utf8_code_point(p, length)) : -1;
        size_t bytes = length > 0 ? (size_t)length : 1;
        if (byte >= 0)
            scratch[n++] = (char)byte;
        else
            for (size_t k = 0; k < bytes && n < room; k++)
                scratch[n++] = (char)p[k];
        i += bytes;
    }
    return (struct str){ scratch, n };
}

struct str tokenizer_piece(const struct tokenizer *t, int32_t id, bool show_special, char *scratch, size_t room)
{
    const struct vocab *v = tokenizer_vocab(t);
    if (id < 0 || id >= v->n_tokens)
        return STR("");
    uint8_t type = v->type[id];
    if (type == TOKEN_CONTROL || type == TOKEN_UNKNOWN)
        return show_special ? v->text[id] : STR("");
    if (v->kind == VOCAB_BPE)
        return type == TOKEN_USER_DEFINED ? v->text[id] : piece_bpe(v->text[id], scratch, room);
    if (type == TOKEN_BYTE && v->kind != VOCAB_WPM && room > 0) {
        scratch[0] = (char)byte_of_token_text(v->text[id]); /* checked when it was loaded */
        return (struct str){ scratch, 1 };
    }
    if (tokenizer_hashes(t))
        return piece_hashes(v->text[id], scratch, room);
    return piece_spm(v->text[id], scratch, room);
}

void detok_init(struct detok *d, const struct tokenizer *t, bool at_start, bool show_special)
{
    *d = (struct detok){ .t = t, .at_start = at_start, .show_special = show_special };
}

static size_t put(char *out, size_t room, size_t n, const void *bytes, size_t len)
{
    if (room - n < len)
        return n;
    memcpy(out + n, bytes, len);
    return n + len;
}

/* Write what is decided about held[]: whole characters, and U+FFFD for ill-formed parts
 * (Unicode's recommended practice). What may still become a character stays, unless this is
 * the end. */
static size_t flush_held(struct detok *d, bool at_end, char *out, size_t room, size_t n)
{
    while (d->n_held > 0) {
        int bad = 0;
        bool cut_off = false;
        int length = utf8_length(d->held, (size_t)d->n_held, &bad, &cut_off);
        if (length == 0 && cut_off && !at_end)
            break;
        if (length > 0)
            n = put(out, room, n, d->held, (size_t)length);
        else
            n = put(out, room, n, "\xef\xbf\xbd", 3);
        int used = length > 0 ? length : bad;
        d->n_held -= used;
        memmove(d->held, d->held + used, (size_t)d->n_held);
    }
    return n;
}

size_t detok_push(struct detok *d, int32_t id, char *out, size_t room)
{
    char scratch[4096 + 8];
    const struct vocab *v = tokenizer_vocab(d->t);
    struct str piece = tokenizer_piece(d->t, id, d->show_special, scratch, sizeof scratch);
    if (piece.len == 0)
        return 0;
    if (d->at_start && v->add_space_prefix && piece.ptr[0] == ' ') {
        piece.ptr++;
        piece.len--;
    }
    d->at_start = false;
    size_t n = 0;
    for (size_t i = 0; i < piece.len; i++) {
        d->held[d->n_held++] = (uint8_t)piece.ptr[i];
        n = flush_held(d, false, out, room, n);
    }
    return n;
}

size_t detok_finish(struct detok *d, char *out, size_t room) { return flush_held(d, true, out, room, 0); }
