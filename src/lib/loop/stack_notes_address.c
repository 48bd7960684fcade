/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/stack_notes.h"

#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

size_t stack_notes_factor(void)
{
    return 4;
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
    /* What an earlier fiber's last frames left poisoned, since they never returned. */
    ASAN_UNPOISON_MEMORY_REGION(notes->bottom, notes->size_bytes);
    notes->checker = NULL;
}

void stack_notes_end(struct stack_notes *notes)
{
}

void stack_notes_leave(struct stack_notes *from, struct stack_notes *to, bool is_last)
{
    __sanitizer_start_switch_fiber(is_last ? NULL : &from->checker, to->bottom, to->size_bytes);
}

void stack_notes_arrive(struct stack_notes *from, struct stack_notes *to)
{
    const void *bottom;
    size_t size_bytes;

    __sanitizer_finish_switch_fiber(to->checker, &bottom, &size_bytes);
    if (from->bottom == NULL) {
        from->bottom = bottom;
        from->size_bytes = size_bytes;
    }
}
