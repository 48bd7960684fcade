/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/verify_sender.h"

#include "mail/address.h"
#include "mail/rewrite.h"

static bool is_null(struct str sender)
{
    return sender.len == 0 || str_equal(sender, STR("<>"));
}

/* Digits without vowels, so that no word comes out. */
static void append_period(uint64_t period, struct buf *out)
{
    static const char digits[] = "0123456789BCDFGHJKLMNPQRSTVWXYZ";
    enum { BASE = sizeof digits - 1 };
    char text[16];
    size_t at = sizeof text;

    do
        text[--at] = digits[period % BASE];
    while ((period /= BASE) > 0 && at > 0);
    buf_append(out, str_of(text + at, sizeof text - at));
}

static void append_sender(const struct config *config, int64_t period, struct buf *out)
{
    autoclear_arena struct arena scratch = { 0 };
    struct rewrite_rules rules = rewrite_rules_from(config);
    struct str address = rewrite_address(&scratch, &rules, config->address_verify_sender);

    buf_append(out, address_local(address));
    if (config->address_verify_sender_ttl > 0 && period >= 0)
        append_period((uint64_t)period, out);
    buf_append_byte(out, '@');
    buf_append(out, address_domain(address));
}

static int64_t period_at(const struct config *config, int64_t wall_s)
{
    return config->address_verify_sender_ttl > 0 ? wall_s / config->address_verify_sender_ttl : 0;
}

void verify_sender_format(const struct config *config, int64_t wall_s, struct buf *out)
{
    if (!is_null(config->address_verify_sender))
        append_sender(config, period_at(config, wall_s), out);
}

bool verify_sender_is(const struct config *config, int64_t wall_s, struct str address)
{
    int64_t period = period_at(config, wall_s);

    if (is_null(config->address_verify_sender) || address.len == 0)
        return false;
    for (int64_t step = -1; step <= 1; step++) {
        autofree_buf struct buf own = { 0 };
        append_sender(config, period + step, &own);
        if (str_equal_fold(buf_str(&own), address))
            return true;
    }
    return false;
}
