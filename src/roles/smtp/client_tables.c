/* SPDX-License-Identifier: Apache-2.0 */
#include "client_tables.h"

static void warn(void *argument, const char *text)
{
    log_warning((const struct log_context *)argument, "%s", text);
}

void client_tables_open(struct client_tables *tables, const struct config *config,
                        const struct log_context *log)
{
    const struct {
        struct table_list **list;
        const char *name;
        struct str text;
        bool keeps_case;
    } rows[] = {
        { &tables->reply_filter, "smtp_reply_filter", config->smtp_reply_filter, true },
        { &tables->dns_filter, "smtp_dns_reply_filter", config->smtp_dns_reply_filter, false },
        { &tables->status_filter, "smtp_delivery_status_filter",
          config->smtp_delivery_status_filter, false },
        { &tables->discarded_keywords, "smtp_discard_ehlo_keyword_address_maps",
          config->smtp_discard_ehlo_keyword_address_maps, false },
        { &tables->pix_workarounds, "smtp_pix_workaround_maps", config->smtp_pix_workaround_maps,
          false },
        { &tables->passwords, "smtp_sasl_password_maps", config->smtp_sasl_password_maps, false },
    };
    union {
        const void *constant;
        void *argument;
    } owner = { .constant = log };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct table_options options = { .warning = warn,
                                         .argument = owner.argument,
                                         .keeps_case = rows[i].keeps_case };
        *rows[i].list = table_list_new(str_from(rows[i].name), rows[i].text, &options, NULL);
    }
}

void client_tables_close(struct client_tables *tables)
{
    table_list_free(&tables->reply_filter);
    table_list_free(&tables->dns_filter);
    table_list_free(&tables->status_filter);
    table_list_free(&tables->discarded_keywords);
    table_list_free(&tables->pix_workarounds);
    table_list_free(&tables->passwords);
}
