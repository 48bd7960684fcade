/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text form of tables, as postmap and texthash read it: "key white-space value", one a logical
 * line; a line that starts with white space goes on with the one before; '#' as the first
 * character that is not white space makes a comment. A key may stand in double quotes, which stay
 * part of it: look-ups ask for addresses in their quoted form.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

struct table_source {
    struct str rest; /* the text that is left */
    int next_line;   /* 1-based number of the line that `rest` starts with; 0 counts as 1 */
};

/* A logical line, comments and continuations resolved (the white space that a continuation
 * starts with stays), without white space at both ends; in the
 * arena when it has continuations, else borrowed. False at the end. `line` is the number of its
 * first physical line. */
bool table_source_line(struct arena *arena, struct table_source *source, struct str *text,
                       int *line);

/* "{ ... }" off the start of `*rest`, which starts with '{'; without the braces and the white space
 * inside them. False where it stays open. */
bool table_take_braces(struct str *rest, struct str *inner);
/* Without the blanks and commas in front. */
struct str table_skip_separators(struct str text);
/* Takes a word off `*rest`: up to a blank or comma outside braces ("inline:{ a=b, c=d }"). */
bool table_next_word(struct str *rest, struct str *word);
/* The lines of an inline table, "{ { line }, { line } ... }". */
must_check bool table_inline_lines(struct str text, struct buf *lines, struct error *error);

enum table_entry_fault {
    TABLE_ENTRY_FINE,
    TABLE_ENTRY_NO_VALUE,   /* a key alone: skip it */
    TABLE_ENTRY_OPEN_QUOTE, /* a key whose quote stays open: skip it */
    TABLE_ENTRY_LIKE_ALIAS, /* "key: value": usable, but probably an aliases file */
};
/* Splits a logical line of a postmap source. */
enum table_entry_fault table_entry_split(struct str text, struct str *key, struct str *value);
/* The same for an aliases file, "name: value, …"; the name may be quoted. */
enum table_entry_fault table_alias_split(struct arena *arena, struct str text, struct str *key,
                                         struct str *value);
