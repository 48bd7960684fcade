/* SPDX-License-Identifier: Apache-2.0 */
/*
 * context.h for x86-64, System V ABI: a switch keeps the registers that a called function must
 * preserve. The floating point control words are left alone: no fiber changes them.
 *
 * There is deliberately no note that promises shadow stacks (CET SHSTK): a switch of stacks without
 * a switch of shadow stacks would not survive them. Indirect branch tracking is fine.
 */
    .text

    /* void context_switch(struct context *from, const struct context *to) */
    .globl context_switch
    .type context_switch, @function
    .p2align 4
context_switch:
    .cfi_startproc
    endbr64
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    pushq %rbx
    .cfi_adjust_cfa_offset 8
    pushq %r12
    .cfi_adjust_cfa_offset 8
    pushq %r13
    .cfi_adjust_cfa_offset 8
    pushq %r14
    .cfi_adjust_cfa_offset 8
    pushq %r15
    .cfi_adjust_cfa_offset 8
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    .cfi_adjust_cfa_offset -8
    popq %r14
    .cfi_adjust_cfa_offset -8
    popq %r13
    .cfi_adjust_cfa_offset -8
    popq %r12
    .cfi_adjust_cfa_offset -8
    popq %rbx
    .cfi_adjust_cfa_offset -8
    popq %rbp
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    .size context_switch, . - context_switch

    /* The first thing on a new stack: entry is in r12, its argument in r13. */
    .type context_begin, @function
    .p2align 4
context_begin:
    .cfi_startproc
    .cfi_undefined rip
    endbr64
    movq %r13, %rdi
    callq *%r12
    ud2
    .cfi_endproc
    .size context_begin, . - context_begin

    /* void context_make(struct context *, void *top, void (*entry)(void *), void *argument):
     * a frame as context_switch leaves it, which "returns" into context_begin. */
    .globl context_make
    .type context_make, @function
    .p2align 4
context_make:
    .cfi_startproc
    endbr64
    leaq context_begin(%rip), %rax
    leaq -72(%rsi), %rsi
    movq $0, 0(%rsi)      /* r15 */
    movq $0, 8(%rsi)      /* r14 */
    movq %rcx, 16(%rsi)   /* r13 */
    movq %rdx, 24(%rsi)   /* r12 */
    movq $0, 32(%rsi)     /* rbx */
    movq $0, 40(%rsi)     /* rbp: the end of the chain of frames */
    movq %rax, 48(%rsi)
    movq $0, 56(%rsi)
    movq $0, 64(%rsi)
    movq %rsi, (%rdi)
    ret
    .cfi_endproc
    .size context_make, . - context_make

    .section .note.GNU-stack, "", @progbits
