/* SPDX-License-Identifier: Apache-2.0 */
/* Enhanced status codes (RFC 3463) in texts that administrators and programs write, and the filters
 * that change them. */
#pragma once

#include "base/log.h"
#include "table/table_list.h"

/* How many bytes at the start are a status code of class 2, 4 or 5, "5.7.1", with a blank or the
 * end behind it; 0: none. */
size_t status_code_length(struct str text);

/* default_delivery_status_filter and its kin: "4.7.1 text" in place of another status and text.
 * Success stays success, and failure failure. The results live in the arena, and the status is
 * shorter than STATUS_CODE_BYTES_MAX; `filter` may be NULL. */
enum { STATUS_CODE_BYTES_MAX = 10 };
void status_filter_apply(struct table_list *filter, struct arena *arena,
                         const struct log_context *log, struct str *status, struct str *text);
