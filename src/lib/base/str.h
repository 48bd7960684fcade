/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A borrowed run of bytes: pointer and length, no NUL promised. Whoever made the bytes owns them
 * and says how long they live. Case folding is ASCII only, whatever the locale says.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *ptr;
    size_t len;
};

/* For printf: printf("%.*s", STR_ARGS(text)). */
#define STR_ARGS(s) (int)(s).len, (s).ptr
/* A literal as a struct str; STR_INIT where a constant initialiser is needed. */
#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })
#define STR_INIT(literal)                                                                          \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }

/* NULL becomes the empty string. */
static inline struct str str_from(const char *text)
{
    return (struct str){ text != NULL ? text : "", text != NULL ? strlen(text) : 0 };
}

static inline struct str str_of(const char *ptr, size_t len)
{
    return (struct str){ ptr, len };
}

static inline bool str_is_empty(struct str s)
{
    return s.len == 0;
}

/* Both have at least `len` bytes. */
bool str_bytes_equal_fold(const char *a, const char *b, size_t len);

/* Lengths decide most comparisons, so these look at them where they stand. */
static inline bool str_equal(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline bool str_equal_fold(struct str a, struct str b)
{
    return a.len == b.len && str_bytes_equal_fold(a.ptr, b.ptr, a.len);
}
/* Less than, equal to, or greater than zero, like memcmp; a prefix sorts first. */
int str_compare(struct str a, struct str b);
static inline bool str_starts_with(struct str s, struct str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}
static inline bool str_starts_with_fold(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_bytes_equal_fold(s.ptr, prefix.ptr, prefix.len);
}
bool str_ends_with(struct str s, struct str suffix);
bool str_ends_with_fold(struct str s, struct str suffix);

/* The position of the first (last) byte, or -1. */
ptrdiff_t str_find_byte(struct str s, char byte);
ptrdiff_t str_find_last_byte(struct str s, char byte);
/* The position of the first occurrence of `part`, or -1. */
ptrdiff_t str_find(struct str s, struct str part);

/* A part of `s`; both functions clamp to its end. */
static inline struct str str_skip(struct str s, size_t count)
{
    if (count > s.len)
        count = s.len;
    return (struct str){ s.ptr + count, s.len - count };
}
static inline struct str str_take(struct str s, size_t count)
{
    return (struct str){ s.ptr, count < s.len ? count : s.len };
}

/* Without the given bytes at both ends (white space: space, tab, CR, LF, VT, FF). */
struct str str_trim(struct str s);
struct str str_trim_start(struct str s);
struct str str_trim_end(struct str s);

/* Cuts `*rest` at the first byte out of `separators`: returns what stands before it and leaves
 * what stands after. Without a separator everything is returned and `*rest` is empty. */
struct str str_cut(struct str *rest, const char *separators);
/* The next word of `*rest` between runs of separators; false when only separators remain. */
bool str_next_word(struct str *rest, const char *separators, struct str *word);
/* Whether `word` is one of a list's, with commas or blanks between them as in main.cf; capitals do
 * not matter. */
bool str_list_has(struct str list, struct str word);

/* Decimal digits only, the whole string, no sign, no overflow. */
bool str_to_u64(struct str s, uint64_t *value);
/* An optional '-' and decimal digits, the whole string, no overflow. */
bool str_to_i64(struct str s, int64_t *value);

static inline char ascii_lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte + 32) : byte;
}
static inline bool ascii_is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}
static inline bool ascii_is_alpha(char byte)
{
    return ascii_lower(byte) >= 'a' && ascii_lower(byte) <= 'z';
}
static inline bool ascii_is_alnum(char byte)
{
    return ascii_is_digit(byte) || ascii_is_alpha(byte);
}
static inline bool ascii_is_space(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}
static inline bool ascii_is_print(char byte)
{
    return byte >= 0x20 && byte < 0x7f;
}
