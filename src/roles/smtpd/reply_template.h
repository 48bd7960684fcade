/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts with $names in them that go to clients: default_rbl_reply, smtpd_reject_footer. Names have
 * one value each, and a value is never expanded again: clients choose some of them. Pure.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

struct template_name {
    const char *name;
    struct str value;
};

/* `allowed` is smtpd_expansion_filter: other bytes of values become '_'. False: the template is
 * malformed, or names what there is not. */
must_check bool reply_template_expand(struct arena *arena, struct str template, struct str allowed,
                                      const struct template_name *names, size_t count,
                                      struct str *text, struct error *error);
