/* builtin.h: the model inside the program, put there by builtin.S.
 *
 * Tolstoy-4m: 4,459,264 parameters, trained from scratch on War and Peace (public domain) for
 * this project; it completes English prose of the 1800s. CC0. The file has no chat template:
 * plain.jinja stands in for one. */
#pragma once

/* A whole GGUF file in read-only memory, 64-byte aligned, lives as long as the program. */
extern const unsigned char hearth_builtin_model[] __attribute__((visibility("hidden")));
extern const unsigned char hearth_builtin_model_end[] __attribute__((visibility("hidden")));

/* plain.jinja, NUL-terminated: the texts of the messages, each followed by an empty line. */
extern const char hearth_builtin_template[] __attribute__((visibility("hidden")));

#define HEARTH_BUILTIN_NAME "tolstoy-4m-q8_0"
