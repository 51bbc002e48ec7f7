/* synth_control.c: the control tokens of two model families, with their published ids, and a
 * chat template of our own that uses them. */
#include <stdio.h>

#include "cli/synth.h"

enum { TYPE_CONTROL = 3, TYPE_USER_DEFINED = 4, TYPE_UNUSED = 5 };

/* Llama 3: 256 tokens from n_base on; all but these are <|reserved_special_token_N|>. */
static const char *const llama3_named[] = {
    "<|begin_of_text|>", "<|end_of_text|>", NULL, NULL, "<|finetune_right_pad_id|>", NULL,
    "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>",
};
enum { LLAMA3_BOS = 0, LLAMA3_PAD = 4, LLAMA3_EOT = 9 };

static const char *const qwen3_named[] = {
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>",
    "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>",
    "<think>", "</think>",
};
enum { QWEN3_END_OF_TEXT = 0, QWEN3_IM_END = 2 };

void synth_control_tokens(const struct synth_shape *shape,
                          void (*add)(void *arg, int index, const char *text, int32_t type), void *arg)
{
    char text[64];
    int n = shape->n_vocab - shape->n_base, n_reserved = 0;
    for (int i = 0; i < n; i++) {
        if (shape->family == SYNTH_QWEN3 && i < (int)ARRAY_LEN(qwen3_named)) {
            /* The tags of tool calls and thinking are ordinary text that is always one token. */
            add(arg, i, qwen3_named[i], qwen3_named[i][1] == '|' ? TYPE_CONTROL : TYPE_USER_DEFINED);
        } else if (shape->family == SYNTH_QWEN3) {
            snprintf(text, sizeof text, "[PAD%d]", shape->n_base + i);
            add(arg, i, text, TYPE_UNUSED);
        } else if (i < (int)ARRAY_LEN(llama3_named) && llama3_named[i]) {
            add(arg, i, llama3_named[i], TYPE_CONTROL);
        } else {
            snprintf(text, sizeof text, "<|reserved_special_token_%d|>", n_reserved++);
            add(arg, i, text, TYPE_CONTROL);
        }
    }
}

static const char llama3_template[] =
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}";

static const char qwen3_template[] =
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

void synth_control_write(struct gguf_writer *w, const struct synth_shape *shape)
{
    bool llama = shape->family == SYNTH_LLAMA3;
    uint32_t base = (uint32_t)shape->n_base;
    gguf_put_u32(w, "tokenizer.ggml.bos_token_id", base + (llama ? LLAMA3_BOS : QWEN3_END_OF_TEXT));
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", base + (llama ? LLAMA3_EOT : QWEN3_IM_END));
    gguf_put_u32(w, "tokenizer.ggml.padding_token_id", base + (llama ? LLAMA3_PAD : QWEN3_END_OF_TEXT));
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", llama);
    gguf_put_str(w, "tokenizer.chat_template", str_z(llama ? llama3_template : qwen3_template));
}
