/* SPDX-License-Identifier: Apache-2.0 */
#include "ehlo.h"

#include "authentication.h"
#include "encryption.h"

/* Whether we can do it for this client, before the operator's word on it. */
static bool is_supported(const struct conversation *conversation, struct str keyword)
{
    const struct config *config = conversation->policy->config;

    if (str_equal(keyword, STR("VRFY")))
        return !config->disable_vrfy_command;
    if (str_equal(keyword, STR("STARTTLS")))
        return encryption_is_offered(conversation);
    if (str_equal(keyword, STR("XVERP")))
        return conversation->session.may_verp;
    if (str_equal(keyword, STR("XCLIENT")))
        return conversation->session.may_xclient;
    if (str_equal(keyword, STR("XFORWARD")))
        return conversation->session.may_xforward;
    if (str_equal(keyword, STR("SMTPUTF8")))
        return config->smtputf8_enable;
    return true;
}

bool ehlo_has_keyword(const struct conversation *conversation, struct str keyword)
{
    return is_supported(conversation, keyword) &&
           !policy_discards_keyword(conversation->policy, keyword);
}

/* Returns where the line starts: the last one is to have a blank behind its code. */
static size_t put_line(struct buf *out, const char *keyword, struct str rest)
{
    buf_append_text(out, "\r\n");
    size_t start = out->len;
    buf_append_text(out, "250-");
    buf_append_text(out, keyword);
    if (rest.len > 0 && !str_ends_with(str_from(keyword), STR("=")))
        buf_append_byte(out, ' ');
    buf_append(out, rest);
    return start;
}

static struct str keyword_value(struct conversation *conversation, const char *keyword)
{
    int64_t limit_bytes = conversation->policy->config->message_size_limit;

    if (strcmp(keyword, "SIZE") == 0 && limit_bytes > 0)
        return str_from(arena_printf(&conversation->scratch, "%lld", (long long)limit_bytes));
    if (strcmp(keyword, "AUTH") == 0)
        return authentication_offer(conversation);
    if (strcmp(keyword, "XCLIENT") == 0)
        return STR("NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT");
    if (strcmp(keyword, "XFORWARD") == 0)
        return STR("NAME ADDR PROTO HELO SOURCE PORT IDENT");
    return STR("");
}

struct str ehlo_format(struct conversation *conversation)
{
    /* In Postfix's order. */
    static const char *const keywords[] = {
        "PIPELINING", "SIZE",     "VRFY",  "ETRN",
        "STARTTLS",   "AUTH",     "XVERP", "XCLIENT",
        "XFORWARD",   "ENHANCEDSTATUSCODES",
        "8BITMIME",   "DSN",      "SMTPUTF8", "CHUNKING",
    };
    autofree_buf struct buf text = { 0 };

    buf_append_text(&text, "250-");
    buf_append(&text, conversation->policy->myhostname);
    size_t last_line = 0;
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
        const char *keyword = keywords[i];
        if (!ehlo_has_keyword(conversation, str_from(keyword)))
            continue;
        struct str value = keyword_value(conversation, keyword);
        bool is_auth = strcmp(keyword, "AUTH") == 0;
        if (is_auth && str_is_empty(value))
            continue;
        last_line = put_line(&text, keyword, value);
        /* The old form, for clients from before RFC 2554. */
        if (is_auth && conversation->policy->config->broken_sasl_auth_clients)
            last_line = put_line(&text, "AUTH=", value);
    }
    struct str reply = arena_copy(&conversation->scratch, buf_str(&text));
    return str_from(arena_printf(&conversation->scratch, "%.*s250 %.*s\r\n",
                                 STR_ARGS(str_take(reply, last_line)),
                                 STR_ARGS(str_skip(reply, last_line + 4))));
}
