/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An intrusive, doubly linked ring: a `struct list` is both the head and the link inside each
 * member. A link that is in no list points to itself.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *previous;
};

#define LIST_INIT(name)                                                                            \
    {                                                                                              \
        &(name), &(name)                                                                           \
    }
/* The object around a link: list_entry(link, struct job, by_destination). */
#define list_entry(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))
#define list_each(link, head)                                                                      \
    for (struct list *link = (head)->next; link != (head); link = link->next)
/* As list_each; the member may be removed (and freed) in the body. */
#define list_each_removable(link, head)                                                            \
    for (struct list *link = (head)->next, *link##_next = link->next; link != (head);              \
         link = link##_next, link##_next = link->next)

static inline void list_init(struct list *link)
{
    link->next = link->previous = link;
}
static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}
static inline void list_insert_before(struct list *position, struct list *link)
{
    link->previous = position->previous;
    link->next = position;
    position->previous->next = link;
    position->previous = link;
}
static inline void list_append(struct list *head, struct list *link)
{
    list_insert_before(head, link);
}
static inline void list_prepend(struct list *head, struct list *link)
{
    list_insert_before(head->next, link);
}
/* Safe on a link that is in no list. */
static inline void list_remove(struct list *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    list_init(link);
}
