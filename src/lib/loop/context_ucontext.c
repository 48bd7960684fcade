/* SPDX-License-Identifier: Apache-2.0 */
/* context.h where there is no hand-written switch: ucontext, which costs two system calls. */
#include "loop/context.h"

#include "base/ensure.h"

#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

/* The context of a fiber that has not begun, at the top of its stack. */
struct birth {
    ucontext_t context;
    void (*entry)(void *argument);
    void *argument;
};

enum { MINIMAL_STACK_BYTES = 16384 };

/* makecontext passes ints only, so the pointer comes in two halves. */
static void begin(unsigned high, unsigned low)
{
    const struct birth *birth = (const struct birth *)((uintptr_t)high << 16 << 16 | low);

    birth->entry(birth->argument);
    unreachable();
}

void context_make(struct context *context, void *top, void (*entry)(void *argument), void *argument)
{
    struct birth *birth = (struct birth *)(((uintptr_t)top - sizeof *birth) & ~(uintptr_t)63);
    uintptr_t address = (uintptr_t)birth;

    getcontext(&birth->context);
    birth->entry = entry;
    birth->argument = argument;
    /* The true size does not matter to makecontext; it takes the upper end. */
    birth->context.uc_stack.ss_sp = (char *)birth - MINIMAL_STACK_BYTES;
    birth->context.uc_stack.ss_size = MINIMAL_STACK_BYTES;
    birth->context.uc_link = NULL;
    makecontext(&birth->context, (void (*)(void))begin, 2, (unsigned)(address >> 16 >> 16),
                (unsigned)address);
    context->stack_pointer = birth;
}

void context_switch(struct context *from, const struct context *to)
{
    /* On the suspended stack itself, so it lives exactly as long as it is needed. */
    ucontext_t here;

    from->stack_pointer = &here;
    ensure(swapcontext(&here, to->stack_pointer) == 0);
}
