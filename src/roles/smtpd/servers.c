/* SPDX-License-Identifier: Apache-2.0 */
#include "servers.h"

#include "mail/address.h"
#include "mail/dns_filter.h"
#include "refusal.h"

enum {
    DNS_PATIENCE_MS = 30 * 1000,
    SERVERS_MAX = 100,
};

/* As the resolver has it: what smtpd_dns_reply_filter does not see. */
static void ask(struct check *check, enum dns_type type, struct str name, struct dns_answer *answer)
{
    struct server *server = check->conversation->server;

    *answer =
        (struct dns_answer){ .outcome = DNS_TRY_AGAIN, .reason = STR("Host not found, try again") };
    if (server->dns != NULL)
        dns_query(server->dns, check->scratch, type, name,
                  loop_now_ms(server->loop) + DNS_PATIENCE_MS, answer);
}

void check_ask_dns(struct check *check, enum dns_type type, struct str name,
                   struct dns_answer *answer)
{
    const struct policy *policy = check->conversation->policy;

    ask(check, type, name, answer);
    dns_filter_answer(policy->dns_filter, &policy->log, check->scratch, type, name, answer);
}

static enum dns_outcome better(const struct dns_answer *ipv4, const struct dns_answer *ipv6)
{
    if (ipv4->outcome == DNS_FOUND || ipv6->outcome == DNS_FOUND)
        return DNS_FOUND;
    if (ipv4->outcome == DNS_TRY_AGAIN || ipv4->outcome == DNS_FILTERED)
        return ipv4->outcome;
    return ipv6->outcome;
}

enum dns_outcome check_ask_address(struct check *check, struct str name, struct dns_answer *ipv4,
                                   struct dns_answer *ipv6)
{
    check_ask_dns(check, DNS_A, name, ipv4);
    check_ask_dns(check, DNS_AAAA, name, ipv6);
    return better(ipv4, ipv6);
}

enum dns_outcome check_ask_host(struct check *check, struct str name, struct dns_answer *ipv4,
                                struct dns_answer *ipv6)
{
    ask(check, DNS_A, name, ipv4);
    ask(check, DNS_AAAA, name, ipv6);
    return better(ipv4, ipv6);
}

bool dns_answer_is_null_mx(const struct dns_answer *answer)
{
    return answer->outcome == DNS_FOUND && answer->record_count == 1 &&
           str_is_empty(answer->records[0].name);
}

static const char *const kind_names[] = {
    [SERVERS_A] = "A",
    [SERVERS_MX] = "MX",
    [SERVERS_NS] = "NS",
};

static bool is_absent(enum dns_outcome outcome)
{
    return outcome == DNS_NO_NAME || outcome == DNS_NO_DATA;
}

/* What getaddrinfo would say: the words are Postfix's. */
static const char *host_trouble(const struct dns_answer *answer)
{
    return answer->outcome == DNS_TRY_AGAIN ? "Temporary failure in name resolution"
                                            : "Name or service not known";
}

static bool find_addresses(struct check *check, struct access *access,
                           const struct dns_answer *answer)
{
    for (size_t i = 0; answer->outcome == DNS_FOUND && i < answer->record_count; i++) {
        struct net_address address;
        autofree_buf struct buf text = { 0 };
        if (!dns_record_address(&answer->records[i], 0, &address))
            continue;
        net_address_format(&address, &text);
        if (access_find_address(check, access, arena_copy(check->scratch, buf_str(&text))))
            return true;
    }
    return false;
}

/* One server's name and addresses; of check_*_a_access the addresses alone. */
static bool find_server(struct check *check, struct access *access, enum server_kind kind,
                        struct str host)
{
    struct dns_answer ipv4, ipv6;
    struct net_address address;

    if (kind != SERVERS_A && access_find_domain(check, access, host))
        return true;
    if (net_address_parse(host, 0, &address))
        return access_find_address(check, access, host);
    if (check_ask_host(check, host, &ipv4, &ipv6) != DNS_FOUND) {
        if (kind != SERVERS_A)
            log_warning(&check->conversation->policy->log,
                        "Unable to look up %s host %.*s for %s %.*s: %s", kind_names[kind],
                        STR_ARGS(host), access->reply_class, STR_ARGS(access->reply_name),
                        host_trouble(&ipv4));
        return false;
    }
    return find_addresses(check, access, &ipv4) || find_addresses(check, access, &ipv6);
}

static void ask_for_servers(struct check *check, enum server_kind kind, struct str *domain,
                            struct dns_answer *answer)
{
    check_ask_dns(check, kind == SERVERS_MX ? DNS_MX : DNS_NS, *domain, answer);
    /* A name inside a zone has the zone's name servers. */
    while (kind == SERVERS_NS && is_absent(answer->outcome)) {
        ptrdiff_t dot = str_find_byte(*domain, '.');
        if (dot < 0 || (size_t)dot + 1 == domain->len)
            return;
        *domain = str_skip(*domain, (size_t)dot + 1);
        check_ask_dns(check, DNS_NS, *domain, answer);
    }
}

/* "[192.0.2.1]" is its own server. */
static enum rule_outcome check_literal(struct check *check, struct access *access,
                                       struct str domain)
{
    struct str inside = str_take(str_skip(domain, 1), domain.len - 2);

    if (str_starts_with_fold(inside, STR("IPv6:")))
        inside = str_skip(inside, 5);
    return access_find_address(check, access, inside) ? access->outcome : RULE_PASSED_ON;
}

enum rule_outcome servers_check(struct check *check, struct access *access, enum server_kind kind,
                                struct str name)
{
    struct str domain = address_has_domain(name) ? address_domain(name) : name;
    struct dns_record self = { .name = domain };
    struct dns_answer answer = { .outcome = DNS_FOUND, .records = &self, .record_count = 1 };

    if (domain_is_literal(domain))
        return kind == SERVERS_NS ? RULE_PASSED_ON : check_literal(check, access, domain);
    if (kind != SERVERS_A)
        ask_for_servers(check, kind, &domain, &answer);
    if (dns_answer_is_null_mx(&answer) && kind == SERVERS_MX)
        return RULE_PASSED_ON;
    if (kind == SERVERS_MX && is_absent(answer.outcome))
        answer = (struct dns_answer){ .outcome = DNS_FOUND, .records = &self, .record_count = 1 };
    if (answer.outcome != DNS_FOUND) {
        log_warning(&check->conversation->policy->log, "Unable to look up %s host for %.*s: %.*s",
                    kind_names[kind],
                    STR_ARGS(kind == SERVERS_MX || !is_absent(answer.outcome) ? domain : name),
                    STR_ARGS(answer.outcome == DNS_FILTERED ? STR("DNS reply filter policy")
                                                            : answer.reason));
        return RULE_PASSED_ON;
    }
    for (size_t i = 0; i < answer.record_count && i < SERVERS_MAX; i++) {
        if (find_server(check, access, kind, answer.records[i].name))
            return access->outcome;
    }
    return RULE_PASSED_ON;
}
