/* SPDX-License-Identifier: Apache-2.0 */
/* One SMTP command line → verb and argument. No policy, no table of verbs: that is smtpd's. */
#pragma once

#include "base/str.h"

struct request {
    struct str verb;     /* up to the first blank or tab, as it came; compare with str_equal_fold */
    struct str argument; /* the rest, blanks trimmed at both ends; borrowed like the verb */
    bool has_control;    /* a control character, NUL or bare CR somewhere: refuse (501, 500) */
};

/* `line` without its line end; more CRs at its end are none of the command's, as for Postfix. False
 * for an empty line (Postfix: 500 5.5.2 Error: bad syntax). */
bool request_parse(struct str line, struct request *request);
/* Host name arguments of HELO and EHLO: printable, one word; as long as a line may be. */
bool request_helo_is_valid(struct str argument);
