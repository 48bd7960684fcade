/* SPDX-License-Identifier: Apache-2.0 */
#include "limits.h"

#include "service/anvil.h"

enum { PATIENCE_MS = 2000 };

static bool is_exempt(const struct conversation *conversation)
{
    const struct session *session = &conversation->session;
    struct error error;

    /* Who speaks for others is not limited itself. */
    return session->may_xclient ||
           match_list_find_client(conversation->policy->limit_exceptions, session->client_name,
                                  session->client_address, &error) == MATCH_FOUND;
}

/* The client's network: its address without the bits behind the prefix. */
static void append_network(const struct conversation *conversation, struct buf *out)
{
    const struct config *config = conversation->policy->config;
    struct net_address network = conversation->peer;
    bool is_ipv4 = network.any.sa_family == AF_INET;
    unsigned char *bytes =
        is_ipv4 ? (unsigned char *)&network.in4.sin_addr : (unsigned char *)&network.in6.sin6_addr;
    int prefix =
        is_ipv4 ? config->smtpd_client_ipv4_prefix_length : config->smtpd_client_ipv6_prefix_length;
    int bits = is_ipv4 ? 32 : 128;

    if ((!is_ipv4 && network.any.sa_family != AF_INET6) || prefix < 0 || prefix >= bits) {
        buf_append(out, conversation->session.client_address);
        return;
    }
    for (int bit = prefix; bit < bits; bit++)
        bytes[bit / 8] &= (unsigned char)~(0x80u >> bit % 8);
    net_address_format(&network, out);
    buf_printf(out, "/%d", prefix);
}

static void append_key(const struct conversation *conversation, struct buf *out)
{
    buf_append(out, conversation->policy->service_name);
    buf_append_byte(out, ':');
    append_network(conversation, out);
}

/* False: nothing is limited. */
static bool ask(struct conversation *conversation, enum anvil_event event, bool is_question,
                struct anvil_counts *counts)
{
    struct server *server = conversation->server;
    int64_t deadline_ms = loop_now_ms(server->loop) + PATIENCE_MS;
    autofree_buf struct buf key = { 0 };

    if (server->anvil == NULL || is_exempt(conversation))
        return false;
    append_key(conversation, &key);
    return (is_question ? anvil_look : anvil_count)(server->anvil, event, buf_str(&key),
                                                    deadline_ms, counts);
}

static bool count(struct conversation *conversation, enum anvil_event event,
                  struct anvil_counts *counts)
{
    return ask(conversation, event, false, counts);
}

static void warn(struct conversation *conversation, const char *what, unsigned number)
{
    const struct policy *policy = conversation->policy;
    const struct session *session = &conversation->session;

    log_warning(&policy->log, "%s limit exceeded: %u from %.*s for service %.*s", what, number,
                STR_ARGS(session_client_text(&conversation->scratch, session)),
                STR_ARGS(policy->service_name));
}

bool limits_allow_connection(struct conversation *conversation)
{
    const struct config *config = conversation->policy->config;
    struct session *session = &conversation->session;
    int most = config->smtpd_client_connection_count_limit;
    int rate = config->smtpd_client_connection_rate_limit;
    struct anvil_counts counts;

    if ((most <= 0 && rate <= 0) || !count(conversation, ANVIL_CONNECTION, &counts))
        return true;
    autofree_buf struct buf key = { 0 };
    append_key(conversation, &key); /* XCLIENT may give it another address later */
    session->counted_as = arena_copy(&session->arena, buf_str(&key));
    if (most > 0 && counts.connections > (unsigned)most)
        warn(conversation, "Connection concurrency", counts.connections);
    else if (rate > 0 && counts.rate > (unsigned)rate)
        warn(conversation, "Connection rate", counts.rate);
    else
        return true;
    struct verdict verdict = {
        .code = 421,
        .enhanced = "4.7.0",
        .text = arena_printf(&conversation->scratch, "%.*s Error: too many connections from %.*s",
                             STR_ARGS(conversation->policy->myhostname),
                             STR_ARGS(session->client_address)),
    };
    (void)reply_verdict(conversation, &verdict);
    return false;
}

static bool allow(struct conversation *conversation, enum anvil_event event, int limit,
                  const char *what, const char *text)
{
    struct anvil_counts counts;

    if (limit <= 0 || !count(conversation, event, &counts) || counts.rate <= (unsigned)limit)
        return true;
    warn(conversation, what, counts.rate);
    struct verdict verdict = {
        .code = 450,
        .enhanced = "4.7.1",
        .text = arena_printf(&conversation->scratch, "Error: too %s from %.*s", text,
                             STR_ARGS(conversation->session.client_address)),
    };
    (void)reply_verdict(conversation, &verdict);
    return false;
}

bool limits_allow_message(struct conversation *conversation)
{
    return allow(conversation, ANVIL_MESSAGE,
                 conversation->policy->config->smtpd_client_message_rate_limit,
                 "Message delivery request rate", "much mail");
}

bool limits_allow_recipient(struct conversation *conversation)
{
    return allow(conversation, ANVIL_RECIPIENT,
                 conversation->policy->config->smtpd_client_recipient_rate_limit,
                 "Recipient address rate", "many recipients");
}

bool limits_allow_login(struct conversation *conversation)
{
    return allow(conversation, ANVIL_LOGIN,
                 conversation->policy->config->smtpd_client_auth_rate_limit, "AUTH command rate",
                 "many AUTH commands");
}

static bool may_shake_hands(struct conversation *conversation, const char *request)
{
    const struct policy *policy = conversation->policy;
    int limit = policy->config->smtpd_client_new_tls_session_rate_limit;
    struct anvil_counts counts;

    if (limit <= 0 || !ask(conversation, ANVIL_NEW_TLS, true, &counts) ||
        counts.rate <= (unsigned)limit)
        return true;
    log_warning(&policy->log, "Refusing %s request from %.*s for service %.*s", request,
                STR_ARGS(session_client_text(&conversation->scratch, &conversation->session)),
                STR_ARGS(policy->service_name));
    return false;
}

bool limits_allow_handshake(struct conversation *conversation)
{
    if (may_shake_hands(conversation, "STARTTLS"))
        return true;
    struct verdict verdict = {
        .code = 454,
        .enhanced = "4.7.0",
        .text = arena_printf(
            &conversation->scratch, "Error: too many new TLS sessions from %.*s",
            STR_ARGS(session_client_text(&conversation->scratch, &conversation->session))),
    };
    (void)reply_verdict(conversation, &verdict);
    return false;
}

bool limits_allow_wrapper(struct conversation *conversation)
{
    return may_shake_hands(conversation, "TLS service");
}

bool limits_allow_new_tls(struct conversation *conversation)
{
    const struct policy *policy = conversation->policy;
    int limit = policy->config->smtpd_client_new_tls_session_rate_limit;
    struct anvil_counts counts;

    if (limit <= 0 || !count(conversation, ANVIL_NEW_TLS, &counts) ||
        counts.rate <= (unsigned)limit)
        return true;
    warn(conversation, "New TLS session rate", counts.rate);
    struct verdict verdict = {
        .code = 421,
        .enhanced = "4.7.0",
        .text = arena_printf(
            &conversation->scratch, "%.*s Error: too many new TLS sessions from %.*s",
            STR_ARGS(policy->myhostname),
            STR_ARGS(session_client_text(&conversation->scratch, &conversation->session))),
    };
    (void)reply_verdict(conversation, &verdict);
    return false;
}

void limits_end_connection(struct conversation *conversation)
{
    struct session *session = &conversation->session;

    if (str_is_empty(session->counted_as))
        return;
    anvil_end(conversation->server->anvil, session->counted_as);
    session->counted_as = STR("");
}
