/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 5322 address lists (To:, From:, the values of alias tables), read leniently, as Postfix reads
 * them: what stands in angle brackets is an address and words before it are a name; without
 * brackets every word is an address of its own, where no '.' or '@' joins it to the next. Groups,
 * comments, routes and quotes are understood. Pure; linear in the length of the value.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

enum list_item_kind {
    LIST_ADDRESS,   /* a@b */
    LIST_ANGLE,     /* <a@b>; may be empty */
    LIST_WORD,      /* of a name */
    LIST_JOINT,     /* '.' and '@' in a name */
    LIST_COMMENT,   /* (text) */
    LIST_SEPARATOR, /* , ; : */
    LIST_GROUP,     /* the ':' behind the name of a group that ends with ';' */
};

struct list_item {
    enum list_item_kind kind;
    struct str text;     /* as it stood there, without loose blanks and line ends; of an address
                            that was changed: its external form */
    struct str address;  /* internal form; of the two kinds of addresses */
    bool is_local;       /* it has no domain: what looks like one ("a@b", a\%b) is quoted */
    bool has_lost_route; /* "<@a:b@c>": `text` is b@c */
};

struct address_list {
    struct list_item *items;
    size_t count;
    size_t address_count; /* those that are not empty */
};

/* The list lives in the arena. */
void address_list_parse(struct arena *arena, struct str value, struct address_list *list);
/* The next address that is not empty; NULL at the end. Start with `*at` zero. */
struct list_item *address_list_next(const struct address_list *list, size_t *at);
/* Appends the list as Postfix writes one, behind a header's name and colon of `column` bytes. */
void address_list_format(const struct address_list *list, size_t column, struct buf *out);
