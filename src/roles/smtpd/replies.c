/* SPDX-License-Identifier: Apache-2.0 */
#include "replies.h"

#include "base/ensure.h"

struct fixed_reply {
    unsigned code;
    const char *enhanced;
    const char *text;
};

static const struct fixed_reply replies[REPLY_COUNT] = {
#define REPLY(name, code, enhanced, text) [REPLY_##name] = { code, enhanced, text },
#include "replies.def"
};

static void format_codes(unsigned code, const char *enhanced, struct buf *out)
{
    buf_append_u64(out, code);
    buf_append_byte(out, ' ');
    if (*enhanced != '\0') {
        buf_append_text(out, enhanced);
        buf_append_byte(out, ' ');
    }
}

enum error_class reply_class(enum reply_name name)
{
    switch ((int)name) {
    case REPLY_NO_SPACE:
    case REPLY_QUEUE_ERROR:
        return ERROR_CLASS_RESOURCE;
    case REPLY_TOO_BIG:
    case REPLY_HEADER_TOO_BIG:
    case REPLY_TOO_MANY_HOPS:
        return ERROR_CLASS_DATA;
    case REPLY_TOO_MANY_RECIPIENTS:
    case REPLY_NO_AUTHORIZATION:
    case REPLY_TLS_FIRST:
        return ERROR_CLASS_POLICY;
    default:
        return ERROR_CLASS_PROTOCOL;
    }
}

unsigned reply_code(enum reply_name name)
{
    return replies[name].code;
}

void reply_format_fixed(enum reply_name name, struct str myhostname, struct buf *out)
{
    const struct fixed_reply *reply = &replies[name];
    struct str text = str_from(reply->text);

    format_codes(reply->code, reply->enhanced, out);
    if (str_starts_with(text, STR("%h"))) {
        buf_append(out, myhostname);
        text = str_skip(text, 2);
    }
    buf_append(out, text);
}

void verdict_format(const struct verdict *verdict, struct buf *out)
{
    ensure(!verdict->is_accepted && verdict->code >= 400);
    format_codes(verdict->code, verdict->enhanced, out);
    buf_append_text(out, verdict->text);
}
