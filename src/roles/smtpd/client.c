/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include "mail/address.h"
#include "net/dns.h"

enum {
    /* A client waits for its greeting meanwhile; those that matter have a name that answers. */
    LOOKUP_PATIENCE_MS = 15 * 1000,
};

static bool answer_has_address(const struct dns_answer *answer, struct str address)
{
    for (size_t i = 0; answer->outcome == DNS_FOUND && i < answer->record_count; i++) {
        if (str_equal(answer->records[i].data, address))
            return true;
    }
    return false;
}

static bool name_is_usable(struct conversation *conversation, struct str name)
{
    struct net_address address;

    if (net_address_parse(name, 0, &address)) {
        log_warning(&conversation->policy->log, "numeric hostname: %.*s", STR_ARGS(name));
        return false;
    }
    return domain_is_valid(name, false);
}

/* The forward half: does `name` lead back to the client's address? */
static enum peer_name name_leads_back(struct conversation *conversation, struct str name,
                                      int64_t deadline_ms)
{
    const struct str address = net_address_bytes(&conversation->peer);
    const struct session *session = &conversation->session;
    struct dns_answer answer;

    dns_query(conversation->server->dns, &conversation->scratch,
              address.len == 4 ? DNS_A : DNS_AAAA, name, deadline_ms, &answer);
    if (answer_has_address(&answer, address))
        return PEER_NAME_OK;
    if (answer.outcome == DNS_FOUND)
        log_warning(&conversation->policy->log, "hostname %.*s does not resolve to address %.*s",
                    STR_ARGS(name), STR_ARGS(session->client_address));
    else
        log_warning(&conversation->policy->log,
                    "hostname %.*s does not resolve to address %.*s: %.*s", STR_ARGS(name),
                    STR_ARGS(session->client_address), STR_ARGS(answer.reason));
    return answer.outcome == DNS_TRY_AGAIN ? PEER_NAME_TRY_AGAIN : PEER_NAME_NONE;
}

static void look_up_name(struct conversation *conversation)
{
    struct server *server = conversation->server;
    struct session *session = &conversation->session;
    int64_t deadline_ms = loop_now_ms(server->loop) + LOOKUP_PATIENCE_MS;
    struct dns_answer answer;

    dns_query_address(server->dns, &conversation->scratch, &conversation->peer, deadline_ms,
                      &answer);
    if (answer.outcome == DNS_TRY_AGAIN)
        session->client_name_status = session->reverse_name_status = PEER_NAME_TRY_AGAIN;
    if (answer.outcome != DNS_FOUND || answer.record_count == 0)
        return;
    struct str name = answer.records[0].name;
    if (!name_is_usable(conversation, name))
        return;
    session->reverse_name = arena_copy(&session->arena, name);
    session->reverse_name_status = PEER_NAME_OK;
    session->client_name_status = name_leads_back(conversation, name, deadline_ms);
    if (session->client_name_status == PEER_NAME_OK)
        session->client_name = session->reverse_name;
}

void client_identify(struct conversation *conversation)
{
    const struct policy *policy = conversation->policy;

    conversation->session.is_local_client = own_addresses_contain(policy->own, &conversation->peer);
    if (policy->config->smtpd_peername_lookup && conversation->server->dns != NULL &&
        net_address_bytes(&conversation->peer).len > 0)
        look_up_name(conversation);
}

bool client_may_send_bare_newlines(const struct conversation *conversation)
{
    const struct session *session = &conversation->session;
    struct error error;

    return match_list_find_client(conversation->policy->bare_newline_exclusions,
                                  session->client_name, session->client_address,
                                  &error) == MATCH_FOUND;
}
