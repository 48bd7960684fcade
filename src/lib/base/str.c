/* SPDX-License-Identifier: Apache-2.0 */
#include "base/byte_set.h"

bool str_bytes_equal_fold(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (ascii_lower(a[i]) != ascii_lower(b[i]))
            return false;
    return true;
}

int str_compare(struct str a, struct str b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common > 0 ? memcmp(a.ptr, b.ptr, common) : 0;

    if (order != 0 || a.len == b.len)
        return order;
    return a.len < b.len ? -1 : 1;
}

bool str_ends_with(struct str s, struct str suffix)
{
    return s.len >= suffix.len && str_equal(str_skip(s, s.len - suffix.len), suffix);
}

bool str_ends_with_fold(struct str s, struct str suffix)
{
    return s.len >= suffix.len && str_equal_fold(str_skip(s, s.len - suffix.len), suffix);
}

ptrdiff_t str_find_byte(struct str s, char byte)
{
    const char *found = s.len > 0 ? memchr(s.ptr, byte, s.len) : NULL;

    return found != NULL ? found - s.ptr : -1;
}

ptrdiff_t str_find_last_byte(struct str s, char byte)
{
    const char *found = s.len > 0 ? memrchr(s.ptr, byte, s.len) : NULL;

    return found != NULL ? found - s.ptr : -1;
}

ptrdiff_t str_find(struct str s, struct str part)
{
    const char *found = part.len <= s.len ? memmem(s.ptr, s.len, part.ptr, part.len) : NULL;

    return found != NULL ? found - s.ptr : -1;
}

struct str str_trim_start(struct str s)
{
    while (s.len > 0 && ascii_is_space(s.ptr[0]))
        s = str_skip(s, 1);
    return s;
}

struct str str_trim_end(struct str s)
{
    while (s.len > 0 && ascii_is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

struct str str_trim(struct str s)
{
    return str_trim_end(str_trim_start(s));
}

static struct str cut_at(struct str *rest, size_t len)
{
    struct str head = str_take(*rest, len);

    *rest = str_skip(*rest, len + 1);
    return head;
}

static struct str cut_at_any(struct str *rest, const struct byte_set *separators)
{
    size_t len = 0;

    while (len < rest->len && !byte_set_has(separators, rest->ptr[len]))
        len++;
    return cut_at(rest, len);
}

struct str str_cut(struct str *rest, const char *separators)
{
    if (separators[0] != '\0' && separators[1] == '\0') {
        ptrdiff_t at = str_find_byte(*rest, separators[0]);
        return cut_at(rest, at < 0 ? rest->len : (size_t)at);
    }
    struct byte_set set = byte_set_of(separators);
    return cut_at_any(rest, &set);
}

bool str_next_word(struct str *rest, const char *separators, struct str *word)
{
    struct byte_set set = byte_set_of(separators);
    size_t blank = 0;

    while (blank < rest->len && byte_set_has(&set, rest->ptr[blank]))
        blank++;
    *rest = str_skip(*rest, blank);
    if (rest->len == 0)
        return false;
    *word = cut_at_any(rest, &set);
    return true;
}

bool str_list_has(struct str list, struct str word)
{
    struct str each;

    while (str_next_word(&list, ", \t\r\n", &each))
        if (str_equal_fold(each, word))
            return true;
    return false;
}

bool str_to_u64(struct str s, uint64_t *value)
{
    uint64_t result = 0;

    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!ascii_is_digit(s.ptr[i]) || __builtin_mul_overflow(result, 10, &result) ||
            __builtin_add_overflow(result, (uint64_t)(s.ptr[i] - '0'), &result))
            return false;
    }
    *value = result;
    return true;
}

bool str_to_i64(struct str s, int64_t *value)
{
    bool is_negative = s.len > 0 && s.ptr[0] == '-';
    uint64_t magnitude;

    if (!str_to_u64(is_negative ? str_skip(s, 1) : s, &magnitude))
        return false;
    if (magnitude > (uint64_t)INT64_MAX)
        return false;
    *value = is_negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}
