/* SPDX-License-Identifier: Apache-2.0 */
/* ETRN (RFC 1985): a client asks for the mail that waits for its domain. */
#pragma once

#include "conversation.h"

enum next etrn_run(struct conversation *conversation, struct str argument);
