/* SPDX-License-Identifier: Apache-2.0 */
#include "ehlo.h"

#include "authentication.h"
#include "encryption.h"

/* What lists of keywords may name, in the order in which Postfix logs them. */
static const char *const listed_keywords[] = {
    "8BITMIME",
    "PIPELINING",
    "SIZE",
    "ETRN",
    "VRFY",
    "AUTH",
    "VERP",
    "STARTTLS",
    "XCLIENT",
    "XFORWARD",
    "ENHANCEDSTATUSCODES",
    "DSN",
    "SMTPUTF8",
    "CHUNKING",
};
enum { LISTED_COUNT = sizeof listed_keywords / sizeof listed_keywords[0] };

static unsigned parse_list(struct str list)
{
    unsigned bits = 0;

    for (unsigned i = 0; i < LISTED_COUNT; i++) {
        if (policy_list_has_word(list, str_from(listed_keywords[i])))
            bits |= 1u << i;
    }
    return bits;
}

static void log_discarded(struct conversation *conversation)
{
    struct buf *line = conversation_log_start(conversation);

    buf_append_text(line, "discarding EHLO keywords:");
    for (unsigned i = 0; i < LISTED_COUNT; i++) {
        if (conversation->session.discarded_keywords & 1u << i)
            buf_printf(line, " %s", listed_keywords[i]);
    }
    conversation_log_end(conversation, SEVERITY_INFO);
}

/* What the tables have for the client's address takes the place of the list for all. */
static bool find_list(struct conversation *conversation, struct str *list)
{
    const struct policy *policy = conversation->policy;
    enum lookup_outcome outcome =
        table_list_find_or_warn(policy->discard_maps, conversation->session.client_address,
                                &conversation->scratch, list, &policy->log);

    if (outcome != LOOKUP_FOUND)
        *list = policy->config->smtpd_discard_ehlo_keywords;
    return outcome != LOOKUP_FAILED;
}

void ehlo_find_discarded(struct conversation *conversation)
{
    struct str list;

    (void)find_list(conversation, &list);
    conversation->session.discarded_keywords = parse_list(list);
}

bool ehlo_discards(const struct conversation *conversation, struct str keyword)
{
    struct str listed = str_equal(keyword, STR("XVERP")) ? STR("VERP") : keyword;

    for (unsigned i = 0; i < LISTED_COUNT; i++) {
        if (str_equal(listed, str_from(listed_keywords[i])))
            return (conversation->session.discarded_keywords & 1u << i) != 0;
    }
    return false;
}

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
    return is_supported(conversation, keyword) && !ehlo_discards(conversation, keyword);
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

static struct str format(struct conversation *conversation)
{
    /* In Postfix's order. */
    static const char *const keywords[] = {
        "PIPELINING", "SIZE",  "VRFY",     "ETRN",     "STARTTLS",
        "AUTH",       "XVERP", "XCLIENT",  "XFORWARD", "ENHANCEDSTATUSCODES",
        "8BITMIME",   "DSN",   "SMTPUTF8", "CHUNKING",
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

enum next ehlo_reply(struct conversation *conversation)
{
    struct str list;
    bool is_sure = find_list(conversation, &list);

    conversation->session.discarded_keywords = parse_list(list);
    if (conversation->session.discarded_keywords != 0 &&
        !policy_list_has_word(list, STR("silent-discard")))
        log_discarded(conversation);
    if (!is_sure)
        return reply(conversation, REPLY_LOCAL_DATA_ERROR);
    return reply_lines(conversation, 250, format(conversation));
}
