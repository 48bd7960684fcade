/* SPDX-License-Identifier: Apache-2.0 */
/* The "name=value" arguments of XCLIENT and XFORWARD; values are xtext. Pure. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

struct attribute {
    struct str name;  /* as it came; borrowed */
    struct str value; /* decoded, in the arena; bytes that are not printable are '?' */
    bool is_unavailable, is_temporarily_unavailable; /* [UNAVAILABLE], [TEMPUNAVAIL] */
};

enum attribute_outcome {
    ATTRIBUTE_FOUND,
    ATTRIBUTE_END,
    ATTRIBUTE_BAD, /* no "=", nothing on a side of it, or no xtext */
};

/* Takes the next one off `*text`. */
enum attribute_outcome attribute_next(struct arena *arena, struct str *text,
                                      struct attribute *attribute);
/* "192.0.2.1" or "IPv6:2001:db8::1": the bare address in `*address`. */
bool attribute_is_address(struct str value, struct str *address);
