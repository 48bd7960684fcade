/* SPDX-License-Identifier: Apache-2.0 */
/* A set of bytes: judging one is a look and no search. Pure. */
#pragma once

#include "base/str.h"

struct byte_set {
    uint64_t bits[4];
};

/* Each byte of `bytes`, as it stands. */
static inline struct byte_set byte_set_of(const char *bytes)
{
    struct byte_set set = { 0 };

    for (; *bytes != '\0'; bytes++)
        set.bits[(unsigned char)*bytes / 64] |= UINT64_C(1) << ((unsigned char)*bytes % 64);
    return set;
}

/* As parameters list them: each byte of `text`, in which backslash sequences are as in C: \a \b \f
 * \n \r \t \v \\, and one to three octal digits. Behind any other backslash a byte stands for
 * itself. */
struct byte_set byte_set_parse(struct str text);

static inline bool byte_set_has(const struct byte_set *set, char byte)
{
    return (set->bits[(unsigned char)byte / 64] >> ((unsigned char)byte % 64) & 1) != 0;
}

bool byte_set_is_empty(const struct byte_set *set);
