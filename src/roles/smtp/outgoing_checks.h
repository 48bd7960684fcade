/* SPDX-License-Identifier: Apache-2.0 */
/* smtp_header_checks, smtp_mime_header_checks, smtp_nested_header_checks and smtp_body_checks: what
 * leaves is changed on its way, what is in the queue stays. */
#pragma once

#include "mail/content_checks.h"

struct delivery;

/* Replaces the delivery's sent_headers and sent_content. False where a table cannot answer: the
 * mail waits. */
must_check bool outgoing_checks_apply(const struct content_checks *checks,
                                      struct delivery *delivery);
