/* SPDX-License-Identifier: Apache-2.0 */
/* Points in time as text, in local time (the caller has called tzset once). Each appends. */
#pragma once

#include "base/buf.h"

#include <stdint.h>

/* "Sun, 02 Nov 2025 09:05:00 +0100 (CET)", as Postfix >= 3.9 writes it (two-digit day). */
void date_format_mail(int64_t wall_s, struct buf *out);
/* "Sun Nov  2 09:05:00", as mailq shows it. */
void date_format_mailq(int64_t wall_s, struct buf *out);
/* "Nov  2 09:05:00", the traditional syslog form. */
void date_format_syslog(int64_t wall_s, struct buf *out);
/* "20251102090500", in UTC: the start of a Message-Id. */
void date_format_compact(int64_t wall_s, struct buf *out);
