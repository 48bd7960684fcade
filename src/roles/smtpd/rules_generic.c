/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that look at nothing in particular, and lists within lists. */
#include "access.h"
#include "policy_service.h"
#include "refusal.h"
#include "restrictions_inside.h"
#include "rules.h"

enum { DEPTH_MAX = 100 };

enum rule_outcome rules_run(struct check *check, const struct rule_list *list)
{
    enum rule_outcome outcome = RULE_PASSED_ON;

    if (check->depth == DEPTH_MAX)
        return refuse_for_configuration(check);
    check->depth++;
    for (size_t i = 0; i < list->count; i++) {
        const struct rule *rule = &list->rules[i];
        outcome = rule->kind->check(check, rule);
        /* It holds for the next rule alone, or for all of the next class. */
        if (rule->kind->check != rule_warn_if_reject && check->warn_depth >= check->depth)
            check->warn_depth = 0;
        if (outcome != RULE_PASSED_ON || (check->if_permit.is_active && check->if_reject.is_active))
            break;
    }
    check->depth--;
    return outcome;
}

RULE(rule_permit)
{
    return permit(check, rule->kind->name);
}

RULE(rule_reject)
{
    (void)rule;
    return refuse_subject(check, (unsigned)check_config(check)->reject_code, "5.7.1",
                          "Access denied");
}

RULE(rule_defer)
{
    (void)rule;
    return refuse_subject(check, (unsigned)check_config(check)->defer_code, "4.3.2",
                          "Try again later");
}

RULE(rule_defer_if_permit)
{
    struct verdict verdict = {
        .code = 450,
        .enhanced = "4.7.0",
        .text =
            refusal_text(check, check->reply_name, check->reply_class, "defer_if_permit requested"),
    };

    (void)rule;
    return defer_if_permitted(check, false, &verdict);
}

RULE(rule_defer_if_reject)
{
    struct verdict verdict = {
        .code = 450,
        .enhanced = "4.7.0",
        .text =
            refusal_text(check, check->reply_name, check->reply_class, "defer_if_reject requested"),
    };

    (void)rule;
    return defer_if_rejected(check, &verdict);
}

RULE(rule_warn_if_reject)
{
    (void)rule;
    if (check->warn_depth == 0)
        check->warn_depth = check->depth;
    return RULE_PASSED_ON;
}

RULE(rule_sleep)
{
    struct conversation *conversation = check->conversation;

    /* What was answered so far goes out first; a client that is gone is noticed later. */
    if (stream_flush(conversation->stream, conversation_deadline_ms(conversation)) == STREAM_OK)
        (void)fiber_sleep(conversation->server->loop, (int64_t)rule->seconds * 1000);
    return RULE_PASSED_ON;
}

RULE(rule_reject_unauth_pipelining)
{
    (void)rule;
    if (!check->conversation->session.has_pipelined)
        return RULE_PASSED_ON;
    return refuse_subject(check, 503, "5.5.0", "Improper use of SMTP command pipelining");
}

RULE(rule_reject_multi_recipient_bounce)
{
    const struct transaction *transaction = &check->conversation->session.transaction;
    size_t allowed = check->list == LIST_DATA || check->list == LIST_END_OF_DATA ? 1 : 0;

    (void)rule;
    if (!check_has_sender(check) || !str_is_empty(check_sender(check)) ||
        transaction->envelope.recipient_count <= allowed)
        return RULE_PASSED_ON;
    return refuse_subject(check, (unsigned)check_config(check)->multi_recipient_bounce_reject_code,
                          "5.5.3", "Multi-recipient bounce");
}

RULE(rule_reject_plaintext_session)
{
    (void)rule;
    if (check->conversation->session.tls != NULL)
        return RULE_PASSED_ON;
    return refuse(check, (unsigned)check_config(check)->plaintext_reject_code, "4.7.1",
                  "Session encryption is required");
}

RULE(rule_check_policy_service)
{
    struct access access = {
        .table = policy_service_name(rule->service),
        .reply_name = check->reply_name,
        .reply_class = check->reply_class,
    };

    return access_act(check, &access, policy_service_ask(check, rule->service),
                      STR("policy query"));
}

RULE(rule_run_class)
{
    return rules_run(check, rule->list);
}

/* "type:table" alone is looked up by what its list is about. */
RULE(rule_check_bare_table)
{
    const struct rule_kind *kind = rule_kind_of_table(check->list);

    if (kind != NULL)
        return kind->check(check, rule);
    log_warning(&check->conversation->policy->log,
                "specify one of (check_client_access, check_reverse_client_hostname_access, "
                "check_helo_access, check_sender_access, check_recipient_access, "
                "check_etrn_access) before %s restriction \"%.*s\"",
                check->reply_class, STR_ARGS(rule->argument));
    return refuse_for_configuration(check);
}

RULE(rule_refuse_unknown)
{
    log_warning(&check->conversation->policy->log, "unknown smtpd restriction: \"%.*s\"",
                STR_ARGS(rule->argument));
    return refuse_for_configuration(check);
}
