/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/masquerade.h"

#include "mail/address.h"

static const char separators[] = ", \t\r\n";

static bool is_exception(const struct masquerade *masquerade, struct str user)
{
    struct str rest = masquerade->exceptions;
    struct str word;

    while (str_next_word(&rest, separators, &word))
        if (str_equal_fold(word, user))
            return true;
    return false;
}

struct str masquerade_address(const struct masquerade *masquerade, struct arena *arena,
                              struct str address)
{
    struct str domain = address_domain(address);
    struct str rest = masquerade->domains;
    struct str word;

    if (domain.len == 0 || is_exception(masquerade, address_local(address)))
        return address;
    while (str_next_word(&rest, separators, &word)) {
        bool hides = true;
        for (; word.len > 0 && word.ptr[0] == '!'; hides = !hides)
            word = str_skip(word, 1);
        if (word.len == 0)
            continue;
        if (str_equal_fold(domain, word))
            return address;
        bool is_below = domain.len > word.len && str_ends_with_fold(domain, word) &&
                        domain.ptr[domain.len - word.len - 1] == '.';
        if (!is_below)
            continue;
        if (!hides)
            return address;
        size_t kept = address.len - domain.len;
        char *text = arena_new(arena, kept + word.len + 1);
        memcpy(text, address.ptr, kept);
        memcpy(text + kept, word.ptr, word.len);
        return str_of(text, kept + word.len);
    }
    return address;
}
