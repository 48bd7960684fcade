/* SPDX-License-Identifier: Apache-2.0 */
/*
 * context.h for 64-bit ARM, AAPCS64: a switch keeps x19 to x30 and the lower halves of v8 to v15.
 */
    .text

    /* void context_switch(struct context *from, const struct context *to) */
    .globl context_switch
    .type context_switch, %function
    .p2align 4
context_switch:
    .cfi_startproc
    hint #34              /* bti c */
    sub sp, sp, #160
    .cfi_adjust_cfa_offset 160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    ldr x9, [x1]
    mov sp, x9
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    .cfi_adjust_cfa_offset -160
    ret
    .cfi_endproc
    .size context_switch, . - context_switch

    /* The first thing on a new stack: entry is in x19, its argument in x20. */
    .type context_begin, %function
    .p2align 4
context_begin:
    .cfi_startproc
    .cfi_undefined x30
    hint #36              /* bti j */
    mov x0, x20
    blr x19
    brk #1
    .cfi_endproc
    .size context_begin, . - context_begin

    /* void context_make(struct context *, void *top, void (*entry)(void *), void *argument):
     * a frame as context_switch leaves it, which "returns" into context_begin. */
    .globl context_make
    .type context_make, %function
    .p2align 4
context_make:
    .cfi_startproc
    hint #34
    sub x1, x1, #160
    stp x2, x3, [x1, #0]
    adr x9, context_begin
    stp xzr, x9, [x1, #80] /* x29 = 0: the end of the chain of frames */
    str x1, [x0]
    ret
    .cfi_endproc
    .size context_make, . - context_make

    .section .note.GNU-stack, "", %progbits
