/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/stack_notes.h"

size_t stack_notes_factor(void)
{
    return 1;
}

void stack_notes_thread(struct stack_notes *notes)
{
}

void stack_notes_map(struct stack_notes *notes)
{
}

void stack_notes_unmap(struct stack_notes *notes)
{
}

void stack_notes_begin(struct stack_notes *notes)
{
}

void stack_notes_end(struct stack_notes *notes)
{
}

void stack_notes_leave(struct stack_notes *from, struct stack_notes *to, bool is_last)
{
}

void stack_notes_arrive(struct stack_notes *from, struct stack_notes *to)
{
}
