/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The BDAT command (RFC 3030): its argument, and what is done with a chunk that comes at the wrong
 * time. Content follows the command in any case, so a refused chunk is read and thrown away, and
 * one whose size cannot be told ends the connection.
 */
#pragma once

#include "conversation.h"

enum next chunking_run(struct conversation *conversation, struct str argument);

/* "count [LAST]". Pure. */
must_check bool chunking_parse(struct str argument, uint64_t *count, bool *is_last);
