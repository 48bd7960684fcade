/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smtp_dns_reply_filter, smtpd_dns_reply_filter: tables that see each record of a DNS answer as
 * text, "mx.example.com. 3600 IN A 192.0.2.1", and say which to ignore. Pure but for the tables.
 */
#pragma once

#include "base/log.h"
#include "net/dns.h"
#include "table/table_list.h"

/* Takes out of an answer that was found for `name` what `tables` (NULL or empty: nothing) drops:
 * DNS_FILTERED where nothing is left, DNS_TRY_AGAIN where a table does not say. */
void dns_filter_answer(struct table_list *tables, const struct log_context *log,
                       struct arena *arena, enum dns_type type, struct str name,
                       struct dns_answer *answer);
