/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sendmail -bs: a stand-alone SMTP session on standard input and output, for programs that submit
 * mail that way. No access control is needed: what it accepts goes into the maildrop as this
 * user's own mail.
 */
#pragma once

#include "tool.h"

/* Until QUIT or the end of input; returns an exit status. */
int sendmail_session_run(const struct tool *tool);
