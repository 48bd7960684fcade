/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/stack_notes.h"

#include <sanitizer/tsan_interface.h>

size_t stack_notes_factor(void)
{
    return 2;
}

void stack_notes_thread(struct stack_notes *notes)
{
    notes->checker = __tsan_get_current_fiber();
}

void stack_notes_map(struct stack_notes *notes)
{
}

void stack_notes_unmap(struct stack_notes *notes)
{
}

void stack_notes_begin(struct stack_notes *notes)
{
    notes->checker = __tsan_create_fiber(0);
}

void stack_notes_end(struct stack_notes *notes)
{
    __tsan_destroy_fiber(notes->checker);
    notes->checker = NULL;
}

void stack_notes_leave(struct stack_notes *from, struct stack_notes *to, bool is_last)
{
    __tsan_switch_to_fiber(to->checker, 0);
}

void stack_notes_arrive(struct stack_notes *from, struct stack_notes *to)
{
}
