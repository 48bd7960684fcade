/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the memory checkers must be told about stacks that are not the thread's own. One
 * implementation for each checker (stack_notes_address.c, _thread.c, _valgrind.c) and an empty one
 * (_none.c); meson picks. Belongs to the fibers; nobody else includes this.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct stack_notes {
    const void *bottom; /* the lowest address; NULL for the thread's own stack until it is known */
    size_t size_bytes;
    void *checker;       /* the checker's own handle while the stack is in use */
    unsigned checker_id; /* or its number */
};

/* How many times as much stack the checker's code needs. */
size_t stack_notes_factor(void);
/* Once for the thread's own stack, before the first switch. */
void stack_notes_thread(struct stack_notes *notes);
/* A new stack is mapped; it is about to be unmapped. */
void stack_notes_map(struct stack_notes *notes);
void stack_notes_unmap(struct stack_notes *notes);
/* A fiber begins on the stack; it has ended (called on another stack). */
void stack_notes_begin(struct stack_notes *notes);
void stack_notes_end(struct stack_notes *notes);
/* Right before a switch (`is_last`: `from` will never run again) and right after it, called on the
 * stack `to`. */
void stack_notes_leave(struct stack_notes *from, struct stack_notes *to, bool is_last);
void stack_notes_arrive(struct stack_notes *from, struct stack_notes *to);
