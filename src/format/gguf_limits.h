/* gguf_limits.h: what the parser refuses, whatever the file says. Every number is a refusal
 * with its own sentence, and with its own file in tests/golden/gguf where a small one can show it. */
#pragma once

enum {
    GGUF_MIN_VERSION = 2,
    GGUF_MAX_VERSION = 3,
    GGUF_MAX_VALUES = 65536,
    GGUF_MAX_TENSORS = 65536,
    GGUF_MAX_NAME_BYTES = 255,             /* keys and tensor names */
    GGUF_MAX_STRING_BYTES = 16 << 20,
    GGUF_MAX_TEMPLATE_BYTES = 1 << 20,     /* tokenizer.chat_template* */
    GGUF_MAX_ARRAY_ITEMS = 16 << 20,
    GGUF_MAX_METADATA_BYTES = 512 << 20,   /* of all parts of a set together */
    GGUF_MIN_ALIGNMENT = 8,
    GGUF_MAX_ALIGNMENT = 4096,
    GGUF_DEFAULT_ALIGNMENT = 32,
    GGUF_MIN_VALUE_RECORD_BYTES = 8 + 1 + 4 + 1,      /* key length, one letter, type, one byte */
    GGUF_MIN_TENSOR_RECORD_BYTES = 8 + 1 + 4 + 8 + 4 + 8,
};

#define GGUF_MAX_DIM ((uint64_t)1 << 40)
