/* SPDX-License-Identifier: Apache-2.0 */
#include "alias_entry.h"

#include "base/buf.h"

enum { NAME_BYTES_MAX = 200 };

struct scanner {
    struct str rest;
    struct buf entry;
    bool is_in_brackets; /* behind '<' */
    bool had_brackets;   /* and behind their '>': the rest of the entry does not count */
    bool is_word_before; /* the last thing was a word: another behind a blank is another entry */
    bool had_blank;
};

static void skip_comment(struct scanner *scanner)
{
    size_t level = 0, at = 0;

    for (; at < scanner->rest.len; at++) {
        char byte = scanner->rest.ptr[at];
        if (byte == '\\')
            at++;
        else if (byte == '(')
            level++;
        else if (byte == ')' && --level == 0)
            break;
    }
    scanner->rest = str_skip(scanner->rest, at + 1);
    scanner->had_blank = true;
}

static void take_quoted(struct scanner *scanner)
{
    size_t at = 1;

    for (; at < scanner->rest.len && scanner->rest.ptr[at] != '"'; at++) {
        if (scanner->rest.ptr[at] == '\\' && at + 1 < scanner->rest.len)
            at++;
        if (!scanner->had_brackets)
            buf_append_byte(&scanner->entry, scanner->rest.ptr[at]);
    }
    scanner->rest = str_skip(scanner->rest, at + 1);
    scanner->is_word_before = true;
}

static bool is_operator(char byte)
{
    return byte == '@' || byte == '.' || byte == ':' || byte == '%' || byte == '!';
}

/* A word's or an operator's byte; a backslash takes the meaning from the next one. */
static void take_byte(struct scanner *scanner)
{
    bool is_quoted = scanner->rest.ptr[0] == '\\' && scanner->rest.len > 1;
    char byte = scanner->rest.ptr[is_quoted];

    if (!scanner->had_brackets)
        buf_append_byte(&scanner->entry, byte);
    scanner->is_word_before = is_quoted || !is_operator(byte);
    scanner->rest = str_skip(scanner->rest, is_quoted ? 2 : 1);
}

/* Words in front of <…> are a name for people, and one entry together with it. */
static bool is_name_before_brackets(struct str rest)
{
    rest = str_take(rest, NAME_BYTES_MAX);
    for (size_t i = 0; i < rest.len && memchr(",;>(\"@", rest.ptr[i], 6) == NULL; i++)
        if (rest.ptr[i] == '<')
            return true;
    return false;
}

static bool begins_another(const struct scanner *scanner, char byte)
{
    return scanner->had_blank && scanner->is_word_before && !scanner->is_in_brackets &&
           byte != '<' && !is_operator(byte) &&
           (scanner->had_brackets || !is_name_before_brackets(scanner->rest));
}

static void enter_brackets(struct scanner *scanner)
{
    buf_clear(&scanner->entry); /* what was before is a name for people */
    scanner->is_in_brackets = true;
    scanner->is_word_before = false;
    scanner->rest = str_skip(scanner->rest, 1);
}

static void leave_brackets(struct scanner *scanner)
{
    scanner->is_in_brackets = false;
    scanner->had_brackets = true;
    scanner->is_word_before = true;
    scanner->rest = str_skip(scanner->rest, 1);
}

/* One step; false where the entry ends before what follows. */
static bool scan(struct scanner *scanner)
{
    char byte = scanner->rest.ptr[0];

    if (byte == ',' || byte == ';') {
        scanner->rest = str_skip(scanner->rest, 1);
        return false;
    }
    if (ascii_is_space(byte)) {
        scanner->rest = str_skip(scanner->rest, 1);
        scanner->had_blank = true;
        return true;
    }
    if (byte == '(') {
        skip_comment(scanner);
        return true;
    }
    if (begins_another(scanner, byte))
        return false;
    scanner->had_blank = false;
    if (byte == '<' && !scanner->had_brackets)
        enter_brackets(scanner);
    else if (byte == '>' && scanner->is_in_brackets)
        leave_brackets(scanner);
    else if (byte == '"')
        take_quoted(scanner);
    else
        take_byte(scanner);
    return true;
}

bool alias_entry_next(struct arena *arena, struct str *text, struct str *entry)
{
    struct scanner scanner = { .rest = *text };

    while (scanner.rest.len > 0 && scanner.entry.len == 0) {
        scanner.is_in_brackets = scanner.had_brackets = false;
        scanner.is_word_before = scanner.had_blank = false;
        while (scanner.rest.len > 0 && scan(&scanner))
            continue;
    }
    *text = scanner.rest;
    bool is_found = scanner.entry.len > 0;
    if (is_found)
        *entry = arena_copy(arena, buf_str(&scanner.entry));
    buf_free(&scanner.entry);
    return is_found;
}
