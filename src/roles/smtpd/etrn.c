/* SPDX-License-Identifier: Apache-2.0 */
#include "etrn.h"

#include "base/ensure.h"
#include "mail/flush_domains.h"

static bool may_flush(struct conversation *conversation, struct str site)
{
    struct error error;

    switch (match_list_find_name(conversation->policy->flush_domains, site, &error)) {
    case MATCH_FOUND:
        return true;
    case MATCH_FAILED:
        log_warning(&conversation->policy->log, "fast_flush_domains: %s", error.message);
        return false;
    case MATCH_ABSENT:
        return false;
    }
    unreachable();
}

enum next etrn_run(struct conversation *conversation, struct str argument)
{
    const struct session *session = &conversation->session;
    struct str word;

    if (conversation->policy->config->smtpd_helo_required && str_is_empty(session->helo_name))
        return reply(conversation, REPLY_ETRN_HELLO_FIRST);
    if (!str_next_word(&argument, " \t", &word) || !str_is_empty(str_trim(argument)))
        return reply(conversation, REPLY_ETRN_SYNTAX);
    /* RFC 1985: "@domain" has its subdomains too, "#queue" is a name of our own choosing. */
    if (word.ptr[0] == '@' || word.ptr[0] == '#')
        word = str_skip(word, 1);
    if (!flush_site_is_valid(word))
        return reply(conversation, REPLY_ETRN_BAD_DOMAIN);
    struct verdict verdict = restrictions_check_etrn(conversation, word);
    if (!verdict.is_accepted)
        return reply_verdict(conversation, &verdict);
    if (may_flush(conversation, word))
        return submission_flush(conversation->server->submission, word)
                   ? reply(conversation, REPLY_ETRN_STARTED)
                   : reply(conversation, REPLY_ETRN_UNABLE);
    log_warning(&conversation->policy->log, "reject: ETRN %.*s... from %.*s",
                STR_ARGS(str_take(word, 100)),
                STR_ARGS(session_client_text(&conversation->scratch, session)));
    return reply_text(conversation, 459,
                      str_from(arena_printf(&conversation->scratch,
                                            "459 <%.*s>: service unavailable", STR_ARGS(word))));
}
