/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the processor must keep while a fiber is suspended. There is one implementation for each
 * architecture (context_x86_64.S, context_aarch64.S) and a portable one (context_ucontext.c); meson
 * picks. Belongs to the fibers; nobody else includes this.
 */
#pragma once

struct context {
    void *stack_pointer; /* where the suspended registers are; only valid while suspended */
};

/* Prepares a context that calls entry(argument) on the stack that ends (is highest) at `top`, which
 * is aligned to 16. `entry` never returns. */
void context_make(struct context *context, void *top, void (*entry)(void *argument),
                  void *argument);
/* Suspends the caller in `from` and goes on in `to`; returns when something switches back. */
void context_switch(struct context *from, const struct context *to);
