/* SPDX-License-Identifier: Apache-2.0 */
/* MAIL and RCPT arguments: what is accepted has no control characters, and survives being shown
 * in external form and parsed again. */
#include "base/ensure.h"
#include "mail/address.h"
#include "mail/rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(struct arena *arena, struct str address, struct path_rules rules)
{
    autofree_buf struct buf argument = { 0 };
    struct path again;

    buf_append_text(&argument, rules.kind == PATH_SENDER ? "FROM:" : "TO:");
    address_format_angle(address, &argument);
    ensure(path_parse(arena, buf_str(&argument), rules, &again) == PATH_OK);
    ensure(str_equal(again.address, address));
}

static void check(struct arena *arena, struct str argument, struct path_rules rules)
{
    static const struct rewrite_rules rewriting = {
        STR_INIT("origin.example"), STR_INIT("example.com"), true, true, true, true,
    };
    struct esmtp_parameter parameter;
    struct path path;

    if (path_parse(arena, argument, rules, &path) != PATH_OK)
        return;
    ensure(path.address.len <= ADDRESS_BYTES_MAX);
    for (size_t i = 0; i < path.address.len; i++)
        ensure((unsigned char)path.address.ptr[i] >= 0x20 && path.address.ptr[i] != 0x7f);
    check_round_trip(arena, path.address, rules);
    struct str normal = address_normalise(arena, path.address);
    ensure(str_equal(address_normalise(arena, normal), normal));
    ensure(str_equal(address_fold(arena, normal), address_fold(arena, path.address)));
    struct str rewritten = rewrite_address(arena, &rewriting, path.address);
    ensure(str_is_empty(path.address) || address_has_domain(rewritten));
    while (esmtp_parameter_next(&path.parameters, &parameter))
        ensure(parameter.has_value || parameter.value.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autoclear_arena struct arena arena = { 0 };
    struct str argument = str_of((const char *)data, size);

    for (int i = 0; i < 16; i++)
        check(&arena, argument,
              (struct path_rules){ .kind = (i & 1) != 0 ? PATH_SENDER : PATH_RECIPIENT,
                                   .is_strict = (i & 2) != 0,
                                   .is_utf8 = (i & 4) != 0,
                                   .may_start_with_dash = (i & 8) != 0 });
    return 0;
}
