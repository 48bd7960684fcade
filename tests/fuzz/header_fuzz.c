/* SPDX-License-Identifier: Apache-2.0 */
/* Headers: splitting takes every byte once; completing twice changes nothing the second time, but
 * where a domain has bytes that none can have (they were quoted, and are written as they are), or
 * was complete because of a dot behind it, which goes: there Postfix changes it, too. */
#include "base/ensure.h"
#include "mail/address.h"
#include "mail/address_list.h"
#include "mail/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_splitting(struct arena *arena, struct str content)
{
    struct str rest = content;
    struct header header;
    size_t bytes = 0;

    while (header_next(&rest, &header)) {
        ensure(header.name.len > 0 && header.whole.len >= header.name.len + 1);
        ensure(header.whole.ptr + header.whole.len <= rest.ptr);
        bytes = content.len - rest.len;
        struct address_list list;
        address_list_parse(arena, header.value, &list);
        ensure(list.count <= header.value.len && list.address_count <= list.count);
    }
    ensure(header_block(content).len == bytes);
}

static bool look_at(void *argument, bool is_sender, struct str *address)
{
    bool *are_stable = argument;
    struct str domain = address_domain(*address);

    for (size_t i = 0; i < domain.len; i++) {
        char byte = domain.ptr[i];
        *are_stable &= ascii_is_alnum(byte) || byte == '.' || byte == '-' || byte == '_';
    }
    *are_stable &= str_find_byte(domain, '.') >= 0;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autoclear_arena struct arena arena = { 0 };
    autofree_buf struct buf once = { 0 };
    autofree_buf struct buf twice = { 0 };
    struct str content = str_of((const char *)data, size), message_id, second_id;
    static const struct rewrite_rules rules = {
        STR_INIT("origin.example"), STR_INIT("example.com"), true, true, true, true,
    };
    bool are_stable = true;
    const struct header_rewriter rewriter = { &rules, look_at, &are_stable };
    struct header_completion completion = { .myhostname = STR("relay.example"),
                                            .queue_id = STR("4F0C"),
                                            .sender = STR("a b@c.example"),
                                            .full_name = STR("J\xc3\xb6rg"),
                                            .drop = STR("bcc, return-path"),
                                            .rewriter = &rewriter,
                                            .may_add_missing = true };
    struct header_summary summary;

    check_splitting(&arena, content);
    header_summarise(content, &summary);
    ensure(header_complete(&arena, &completion, content, &once, &message_id));
    ensure(header_complete(&arena, &completion, buf_str(&once), &twice, &second_id));
    ensure(!are_stable || str_equal(buf_str(&once), buf_str(&twice)));
    ensure(str_equal(message_id, second_id));
    return 0;
}
