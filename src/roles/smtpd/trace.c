/* SPDX-License-Identifier: Apache-2.0 */
#include "trace.h"

enum { LINE_BYTES_MAX = 1000 };

void trace_begin(struct conversation *conversation)
{
    const struct policy *policy = conversation->policy;
    struct session *session = &conversation->session;
    struct error error;

    session->is_traced = policy->config->debug_peer_level > 0 &&
                         match_list_find_client(policy->debug_peers, session->client_name,
                                                session->client_address, &error) == MATCH_FOUND;
}

static bool is_heard(const struct conversation *conversation)
{
    return conversation->session.is_traced || conversation->session.history.wanted != 0;
}

static void trace(struct conversation *conversation, char direction, struct str text,
                  const char *hidden)
{
    struct session *session = &conversation->session;
    struct str shown = str_take(text, LINE_BYTES_MAX);

    if (session->history.wanted != 0) {
        struct str line = shown;
        if (hidden[0] != '\0')
            line =
                str_from(arena_printf(&conversation->scratch, "%.*s%s", STR_ARGS(shown), hidden));
        if (direction == '<')
            transcript_add_in(&session->history, line);
        else
            transcript_add_out(&session->history, line);
    }
    if (!session->is_traced)
        return;
    log_info(&conversation->policy->log, "%c %.*s: %.*s%s", direction,
             STR_ARGS(session_client_text(&conversation->scratch, session)), STR_ARGS(shown),
             hidden);
}

void trace_command(struct conversation *conversation, struct str line)
{
    struct str rest = line;
    struct str verb, mechanism;

    if (!is_heard(conversation))
        return;
    if (!str_next_word(&rest, " \t", &verb) || !str_equal_fold(verb, STR("AUTH")) ||
        !str_next_word(&rest, " \t", &mechanism) || str_is_empty(str_trim(rest))) {
        trace(conversation, '<', line, "");
        return;
    }
    /* Up to the mechanism's end; an initial response is the password. */
    trace(conversation, '<', str_trim_end(str_take(line, line.len - rest.len)), " ****");
}

void trace_secret(struct conversation *conversation)
{
    if (is_heard(conversation))
        trace(conversation, '<', STR(""), "****");
}

void trace_reply(struct conversation *conversation, struct str lines)
{
    while (is_heard(conversation) && !str_is_empty(lines)) {
        struct str line = str_cut(&lines, "\n");
        if (str_starts_with(line, STR("334 ")))
            trace(conversation, '>', STR("334 "), "****");
        else
            trace(conversation, '>', str_trim_end(line), "");
    }
}
