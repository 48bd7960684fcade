/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postmap -h, -b and -m: the logical headers and the lines of the body of a message as keys, as
 * header_checks and body_checks see them.
 */
#pragma once

#include "mail/mime.h"

enum table_message_part {
    TABLE_MESSAGE_HEADERS = 1, /* -h */
    TABLE_MESSAGE_BODY = 2,    /* -b */
    TABLE_MESSAGE_PARTS = 4,   /* -m: headers of parts are headers, and not body */
};

/* Calls `key` for each, without its line end; folded headers have LF between their lines. */
void table_message_keys(struct str message, unsigned parts, const struct mime_limits *limits,
                        void (*key)(void *argument, struct str text), void *argument);
