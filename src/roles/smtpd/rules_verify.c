/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that ask the verify role whether mail to an address would be taken. */
#include "base/ensure.h"
#include "refusal.h"
#include "rules.h"

enum { ANSWER_PATIENCE_MS = 10 * 1000 };

/* The sender's or the recipient's parameters. */
struct terms {
    struct str address, as_sent;
    const char *class, *enhanced; /* "4.1.7": of any class */
    int defer_code, reject_code;
    struct str reject_reason;
    bool is_deferred_at_once;
};

static enum rule_outcome defer(struct check *check, const struct terms *terms, unsigned code,
                               const char *why)
{
    struct verdict verdict = { .code = code,
                               .enhanced = terms->enhanced,
                               .text = refusal_text(check, terms->as_sent, terms->class, why) };

    return defer_if_permitted(check, terms->is_deferred_at_once, &verdict);
}

static enum rule_outcome judge(struct check *check, const struct terms *terms,
                               enum verify_status status, struct str reason)
{
    int code = terms->defer_code;

    switch (status) {
    case VERIFY_OK:
        return RULE_PASSED_ON;
    case VERIFY_UNKNOWN:
    case VERIFY_DEFER:
        break;
    case VERIFY_BOUNCE:
        code = terms->reject_code;
        break;
    }
    if (code / 100 == 2)
        return RULE_PASSED_ON;
    if (terms->reject_reason.len > 0)
        reason = terms->reject_reason;
    if (code / 100 == 4)
        return defer(check, terms, (unsigned)code,
                     arena_printf(check->scratch, "unverified address: %.*s",
                                  STR_ARGS(str_take(reason, 250))));
    return refuse(check, (unsigned)code, terms->enhanced,
                  refusal_text(check, terms->as_sent, terms->class,
                               arena_printf(check->scratch, "undeliverable address: %.*s",
                                            STR_ARGS(reason))));
}

/* Asks until there is a result, or the patience for one client is over. */
static bool ask(struct check *check, struct str address, enum verify_status *status,
                struct str *reason)
{
    struct server *server = check->conversation->server;
    const struct config *config = check_config(check);

    for (int i = 0; i < config->address_verify_poll_count; i++) {
        if (i > 0)
            (void)fiber_sleep(server->loop, config->address_verify_poll_delay * 1000);
        if (server->verify == NULL ||
            !verify_ask(server->verify, address, loop_now_ms(server->loop) + ANSWER_PATIENCE_MS,
                        check->scratch, status, reason))
            return false;
        if (*status != VERIFY_UNKNOWN)
            return true;
    }
    return true;
}

static enum rule_outcome verify(struct check *check, const struct terms *terms)
{
    enum verify_status status = VERIFY_UNKNOWN;
    struct str reason = STR("Address verification in progress");

    if (ask(check, terms->address, &status, &reason))
        return judge(check, terms, status, reason);
    log_warning(&check->conversation->policy->log, "%.*s service failure",
                STR_ARGS(check_config(check)->address_verify_service_name));
    return defer(check, terms, 450, "address verification problem");
}

static bool is_defer(struct str action)
{
    return str_equal_fold(action, STR("defer"));
}

RULE(rule_reject_unverified_sender)
{
    const struct config *config = check_config(check);
    struct terms terms = {
        .as_sent = check_sender(check),
        .class = "Sender address",
        .enhanced = "4.1.7",
        .defer_code = config->unverified_sender_defer_code,
        .reject_code = config->unverified_sender_reject_code,
        .reject_reason = config->unverified_sender_reject_reason,
        .is_deferred_at_once = is_defer(config->unverified_sender_tempfail_action),
    };

    (void)rule;
    if (!check_has_sender(check) || str_is_empty(terms.as_sent))
        return RULE_PASSED_ON;
    terms.address = check->conversation->session.transaction.envelope.sender;
    return verify(check, &terms);
}

RULE(rule_reject_unverified_recipient)
{
    const struct config *config = check_config(check);
    struct terms terms = {
        .address = check->recipient,
        .as_sent = check->recipient_as_sent,
        .class = "Recipient address",
        .enhanced = "4.1.1",
        .defer_code = config->unverified_recipient_defer_code,
        .reject_code = config->unverified_recipient_reject_code,
        .reject_reason = config->unverified_recipient_reject_reason,
        .is_deferred_at_once = is_defer(config->unverified_recipient_tempfail_action),
    };

    (void)rule;
    return check->has_recipient ? verify(check, &terms) : RULE_PASSED_ON;
}
