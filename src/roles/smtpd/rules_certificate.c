/* SPDX-License-Identifier: Apache-2.0 */
/* Rules about the certificate that a client showed. */
#include "access.h"
#include "base/ensure.h"
#include "refusal.h"
#include "restrictions_inside.h"
#include "rules.h"

/* NULL: it showed none. */
static const struct tls_facts *certificate_of(const struct check *check)
{
    const struct tls_facts *facts = check->conversation->session.tls;

    return facts != NULL && facts->has_certificate ? facts : NULL;
}

RULE(rule_permit_tls_all_clientcerts)
{
    const struct tls_facts *facts = certificate_of(check);

    if (facts != NULL && facts->is_trusted)
        return permit_client(check, rule->kind->name);
    return rule_permit_tls_clientcerts(check, rule);
}

/* Whoever vouches for it: the fingerprint is enough. */
RULE(rule_permit_tls_clientcerts)
{
    const struct tls_facts *facts = certificate_of(check);
    struct str value;
    struct error error;

    if (facts == NULL)
        return RULE_PASSED_ON;
    const struct str prints[] = { facts->certificate_fingerprint, facts->key_fingerprint };
    for (size_t i = 0; i < sizeof prints / sizeof prints[0]; i++) {
        switch (table_list_find(check->restrictions->relay_clientcerts, prints[i], KEY_WHOLE,
                                check->scratch, &value, &error)) {
        case LOOKUP_FOUND:
            return permit_client(check, rule->kind->name);
        case LOOKUP_FAILED:
            log_warning(&check->conversation->policy->log,
                        "relay_clientcerts: lookup error for fingerprint '%.*s', pkey fingerprint "
                        "%.*s",
                        STR_ARGS(prints[0]), STR_ARGS(prints[1]));
            return refuse_for_lookup(check, check->reply_name);
        case LOOKUP_ABSENT:
            break;
        }
    }
    return RULE_PASSED_ON;
}

static struct str key_of(const struct tls_facts *facts, enum certificate_key key)
{
    switch (key) {
    case CERTIFICATE_FINGERPRINT:
        return facts->certificate_fingerprint;
    case PUBLIC_KEY_FINGERPRINT:
        return facts->key_fingerprint;
    case CERTIFICATE_KEY_NONE:
        return STR("");
    }
    unreachable();
}

RULE(rule_check_ccert_access)
{
    const struct tls_facts *facts = certificate_of(check);
    struct access access = { .map = rule->map,
                             .table = lookup_map_name(rule->map),
                             .reply_name = facts != NULL ? facts->subject : STR(""),
                             .reply_class = "Client certificate" };

    for (size_t i = 0; facts != NULL && i < CERTIFICATE_KEYS_MAX; i++) {
        struct str key = key_of(facts, rule->certificate_keys[i]);
        if (key.len > 0 && access_find_key(check, &access, key))
            return access.outcome;
    }
    return RULE_PASSED_ON;
}
