/* gguf_stranger.c: what people really pass by mistake, recognised by its first bytes. */
#include "format/gguf_read.h"

#define CONVERT  "hearth reads GGUF files, so convert it or download a .gguf"
#define WEB_PAGE "an HTML page, not a model; download the file itself, not its web page"
#define OLD      "a model file from before GGUF (2023); download a current .gguf"

struct stranger {
    const char *start;
    size_t n;
    const char *what;
};

static const struct stranger binaries[] = {
    { "PK\3\4", 4, "a zip archive (a PyTorch checkpoint?); " CONVERT },
    { "\x80\2", 2, "a Python pickle; " CONVERT },
    { "\x80\4", 2, "a Python pickle; " CONVERT },
    { "\x89HDF", 4, "an HDF5 file; " CONVERT },
    { "lmgg", 4, OLD },
    { "fmgg", 4, OLD },
    { "tjgg", 4, OLD },
    { "ggml", 4, OLD },
    { "ggjt", 4, OLD },
    { "\x1f\x8b", 2, "gzip-compressed; unpack it first" },
    { "\x28\xb5\x2f\xfd", 4, "zstd-compressed; unpack it first" },
    { "\xfd" "7zXZ", 5, "xz-compressed; unpack it first" },
    { "7z\xbc\xaf", 4, "a 7z archive; unpack it first" },
    { "FUGG", 4, "a GGUF file in big-endian byte order; download the little-endian one" },
    { "\0\0\0\0", 4, "a file of zeros, as an unfinished download leaves it; download it again" },
};

/* Found after white space and a byte order mark, in any case of letters. */
static const struct stranger texts[] = {
    { "version https://git-lfs", 23, "a git-lfs pointer, not the file itself; run `git lfs pull`" },
    { "<!doctype", 9, WEB_PAGE },
    { "<html", 5, WEB_PAGE },
    { "<?xml", 5, "an XML text, perhaps a server's error message; download the file itself" },
    { "{", 1, "a JSON text, perhaps a server's error message; download the .gguf itself" },
};

static bool same_letters(const uint8_t *p, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((p[i] >= 'A' && p[i] <= 'Z' ? p[i] + 'a' - 'A' : p[i]) != text[i])
            return false;
    return true;
}

static const char *recognise(const uint8_t *p, uint64_t n)
{
    for (size_t i = 0; i < ARRAY_LEN(binaries); i++)
        if (n >= binaries[i].n && memcmp(p, binaries[i].start, binaries[i].n) == 0)
            return binaries[i].what;
    if (n >= 10 && p[8] == '{' && p[9] == '"')
        return "a safetensors file; " CONVERT;
    uint64_t at = n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at < n && at < 64 && (p[at] == ' ' || p[at] == '\t' || p[at] == '\r' || p[at] == '\n'))
        at++;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (n - at >= texts[i].n && same_letters(p + at, texts[i].start, texts[i].n))
            return texts[i].what;
    return NULL;
}

bool gguf_refuse_stranger(const uint8_t *p, uint64_t n, hearth_error *err)
{
    const char *what = recognise(p, n);
    if (what)
        return fail(err, HEARTH_ERR_FORMAT, "this is %s", what);
    if (n < 4)
        return fail(err, HEARTH_ERR_FORMAT, "the file has %llu bytes, too few for a GGUF header; download it again",
                    (unsigned long long)n);
    bool is_text = true;
    for (int i = 0; i < 4; i++)
        is_text = is_text && p[i] >= 0x20 && p[i] < 0x7f;
    if (is_text)
        return fail(err, HEARTH_ERR_FORMAT,
                    "this is no GGUF file: at byte 0 it has \"%.4s\" instead of \"GGUF\"; name a .gguf file",
                    (const char *)p);
    return fail(err, HEARTH_ERR_FORMAT,
                "this is no GGUF file: at byte 0 it has bytes %02x %02x %02x %02x instead of \"GGUF\"; "
                "name a .gguf file",
                p[0], p[1], p[2], p[3]);
}
