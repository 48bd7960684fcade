/* SPDX-License-Identifier: Apache-2.0 */
#include "hello.h"

#include "delivery.h"

/* The list for this server's address, or else the one for all. In the arena. */
static struct str list_for_address(const struct session *session, struct arena *scratch,
                                   struct table_list *by_address, struct str otherwise)
{
    struct str list;

    return table_list_find_or_warn(by_address, session->address, scratch, &list,
                                   &session->transport->log) == LOOKUP_FOUND
               ? list
               : otherwise;
}

static unsigned parse_workarounds(const struct session *session, struct str list)
{
    unsigned workarounds = 0;
    struct str word;

    while (str_next_word(&list, ", \t\r\n", &word)) {
        if (str_equal_fold(word, STR("disable_esmtp")))
            workarounds |= PIX_DISABLE_ESMTP;
        else if (str_equal_fold(word, STR("delay_dotcrlf")))
            workarounds |= PIX_DELAY_DOTCRLF;
        else
            log_warning(&session->transport->log, "unknown workaround \"%.*s\"", STR_ARGS(word));
    }
    return workarounds;
}

void hello_note_firewall(struct session *session)
{
    const struct transport *transport = session->transport;
    struct str greeting = buf_str(&session->reply.text);
    autoclear_arena struct arena scratch = { 0 };

    for (size_t i = 0; i < greeting.len; i++) {
        if (strchr("20 *\t\n", greeting.ptr[i]) == NULL || greeting.ptr[i] == '\0')
            return;
    }
    if (str_find_byte(greeting, '*') < 0)
        return;
    struct str list = list_for_address(session, &scratch, transport->tables.pix_workarounds,
                                       transport->config->smtp_pix_workarounds);
    session->pix_workarounds = parse_workarounds(session, list);
    if (session->pix_workarounds != 0)
        log_info(&transport->log, "%s: enabling PIX workarounds: %.*s for %.*s",
                 session->delivery->job.queue_id.text, STR_ARGS(list), STR_ARGS(session->relay));
}

void hello_learn_offer(struct session *session)
{
    const struct transport *transport = session->transport;
    autoclear_arena struct arena scratch = { 0 };

    ehlo_parse(&session->reply,
               list_for_address(session, &scratch, transport->tables.discarded_keywords,
                                transport->config->smtp_discard_ehlo_keywords),
               &session->offer);
    session->offer.mechanisms = arena_copy(&session->arena, session->offer.mechanisms);
}
