/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address masquerading: masquerade_domains and masquerade_exceptions of Postfix's
 * ADDRESS_REWRITING. Made from the configuration, immutable.
 */
#pragma once

#include "base/arena.h"
#include "config/config.h"

struct masquerade {
    struct str domains;    /* "foo.example !bar.example", the first that fits decides */
    struct str exceptions; /* users who keep their domain */
};

/* The address with the masquerade domain in place of one below it, or as it is. */
struct str masquerade_address(const struct masquerade *masquerade, struct arena *arena,
                              struct str address);
