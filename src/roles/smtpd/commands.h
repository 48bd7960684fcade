/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of SMTP: the table that is the protocol, and a handler for each. */
#pragma once

#include "conversation.h"

/* One command line, without its line end: sequence, limits, counts, handler. */
enum next command_handle(struct conversation *conversation, struct str line);
