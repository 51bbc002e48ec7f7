/* byte_alphabet.h: the two ways in which vocabularies write bytes as text.
 *
 * GPT-2's alphabet: printable Latin-1 stands for itself; the 68 other bytes become U+0100, U+0101, ... in
 * order, so that a space is U+0120.
 * SentencePiece's byte tokens: "<0x0A>". */
#pragma once
#include "base/base.h"
#include "base/utf8.h"

static inline bool byte_is_printable(unsigned b)
{
    return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
}

/* The byte a character stands for; -1: not of the alphabet. */
static inline int byte_of_char(uint32_t c)
{
    if (c < 0x100)
        return byte_is_printable(c) ? (int)c : -1;
    if (c <= 0x120)
        return (int)(c - 0x100);            /* 0x00..0x20 */
    if (c <= 0x142)
        return (int)(c - 0x121 + 0x7f);     /* 0x7f..0xa0 */
    return c == 0x143 ? 0xad : -1;
}

static inline uint32_t char_of_byte(unsigned b)
{
    if (byte_is_printable(b))
        return b;
    return b <= 0x20 ? 0x100 + b : b <= 0xa0 ? 0x121 + b - 0x7f : 0x143;
}

static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte of "<0x0A>"; -1: not of that form. */
static inline int byte_of_token_text(struct str text)
{
    if (text.len != 6 || !str_starts(text, STR("<0x")) || text.ptr[5] != '>')
        return -1;
    int high = hex_digit(text.ptr[3]), low = hex_digit(text.ptr[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}
