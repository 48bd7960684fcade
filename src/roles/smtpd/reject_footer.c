/* SPDX-License-Identifier: Apache-2.0 */
#include "reject_footer.h"

#include "base/clock.h"
#include "reply_template.h"

#include <time.h>

static struct str local_time(struct arena *arena)
{
    char text[32];
    time_t now = (time_t)(clock_wall_us() / 1000000);
    struct tm broken;

    if (localtime_r(&now, &broken) == NULL ||
        strftime(text, sizeof text, "%b %d %H:%M:%S", &broken) == 0)
        return STR("");
    return arena_copy(arena, str_from(text));
}

/* "550 5.1.1 " of a reply: what each of its lines begins with. */
static size_t codes_len(struct str reply)
{
    size_t len = 4;

    while (len < reply.len && (ascii_is_digit(reply.ptr[len]) || reply.ptr[len] == '.'))
        len++;
    return len > 4 && len < reply.len && reply.ptr[len] == ' ' ? len + 1 : 4;
}

static struct str make_lines(struct arena *arena, struct str reply, struct str footer)
{
    size_t codes = codes_len(reply);
    bool is_continued = str_starts_with(footer, STR("\\c"));
    autofree_buf struct buf out = { 0 };
    struct str rest = is_continued ? str_skip(footer, 2) : footer;
    struct str line = reply;
    bool is_first = true;

    for (;;) {
        struct str more = rest;
        ptrdiff_t end = str_find(more, STR("\\n"));
        if (!is_first || is_continued) {
            rest = end < 0 ? STR("") : str_skip(more, (size_t)end + 2);
            more = end < 0 ? more : str_take(more, (size_t)end);
        } else {
            more = STR("");
            end = 0;
        }
        bool is_last = end < 0;
        buf_append(&out, str_take(reply, 3));
        buf_append_byte(&out, is_last ? ' ' : '-');
        buf_append(&out, str_of(reply.ptr + 4, codes - 4));
        if (is_first)
            buf_append(&out, str_skip(line, codes));
        buf_append(&out, more);
        buf_append_text(&out, "\r\n");
        if (is_last)
            return arena_copy(arena, buf_str(&out));
        is_first = false;
    }
}

struct str reject_footer_append(struct conversation *conversation, struct str reply,
                                struct str footer)
{
    struct arena *scratch = &conversation->scratch;
    const struct policy *policy = conversation->policy;
    const struct template_name names[] = {
        { "client_address", conversation->session.client_address },
        { "client_port", conversation->session.client_port },
        { "localtime", local_time(scratch) },
        { "server_name", policy->myhostname },
    };
    struct str text;
    struct error error;

    if (reply_template_expand(scratch, footer, policy->config->smtpd_expansion_filter, names,
                              sizeof names / sizeof names[0], &text, &error))
        return make_lines(scratch, reply, text);
    log_warning(&policy->log, "parameter smtpd_reject_footer: %s", error.message);
    return str_from(arena_printf(scratch, "%.*s\r\n", STR_ARGS(reply)));
}
