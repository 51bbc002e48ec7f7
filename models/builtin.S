/* builtin.S: a GGUF file and its chat template as read-only data of the program (declared in builtin.h).
 * HEARTH_BUILTIN_FILE and HEARTH_BUILTIN_TEMPLATE are their paths, from models/meson.build. ELF, any
 * instruction set. */

    .section .rodata.hearth_builtin_model, "a", %progbits
    .balign 64

    .globl hearth_builtin_model
    .hidden hearth_builtin_model
    .type hearth_builtin_model, %object
hearth_builtin_model:
    .incbin HEARTH_BUILTIN_FILE
    .size hearth_builtin_model, . - hearth_builtin_model

    .globl hearth_builtin_model_end
    .hidden hearth_builtin_model_end
    .type hearth_builtin_model_end, %object
hearth_builtin_model_end:
    .byte 0
    .size hearth_builtin_model_end, 1

    .globl hearth_builtin_template
    .hidden hearth_builtin_template
    .type hearth_builtin_template, %object
hearth_builtin_template:
    .incbin HEARTH_BUILTIN_TEMPLATE
    .byte 0
    .size hearth_builtin_template, . - hearth_builtin_template

    .section .note.GNU-stack, "", %progbits
