/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables that a transport's parameters name. Opened with the transport, before the role is
 * confined. A table that does not open is warned of and fails the look-ups that reach it.
 */
#pragma once

#include "base/log.h"
#include "config/config.h"
#include "table/table_list.h"

struct client_tables {
    struct table_list *reply_filter;       /* smtp_reply_filter */
    struct table_list *dns_filter;         /* smtp_dns_reply_filter */
    struct table_list *status_filter;      /* smtp_delivery_status_filter */
    struct table_list *discarded_keywords; /* smtp_discard_ehlo_keyword_address_maps */
    struct table_list *pix_workarounds;    /* smtp_pix_workaround_maps */
    struct table_list *passwords;          /* smtp_sasl_password_maps */
};

void client_tables_open(struct client_tables *tables, const struct config *config,
                        const struct log_context *log);
void client_tables_close(struct client_tables *tables);
