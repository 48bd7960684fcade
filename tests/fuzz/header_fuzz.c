/* SPDX-License-Identifier: Apache-2.0 */
/* Headers: splitting takes every byte once; completing twice changes nothing the second time. */
#include "base/ensure.h"
#include "mail/address_list.h"
#include "mail/header.h"

/* Without quotes, literals, comments and control bytes: those may stay open, or stand where a
 * domain is wanted. They are put right as far as Postfix does it, and what is put out may then be
 * read otherwise. */
static bool is_plain(struct str content)
{
    for (size_t i = 0; i < content.len; i++) {
        char byte = content.ptr[i];
        if (!(ascii_is_print(byte) || ascii_is_space(byte)) || strchr("\"[](\\", byte) != NULL)
            return false;
    }
    return true;
}

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autoclear_arena struct arena arena = { 0 };
    autofree_buf struct buf once = { 0 };
    autofree_buf struct buf twice = { 0 };
    struct str content = str_of((const char *)data, size), message_id, second_id;
    static const struct rewrite_rules rules = {
        STR_INIT("origin.example"), STR_INIT("example.com"), true, true, true, true,
    };
    static const struct header_rewriter rewriter = { .rules = &rules };
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
    ensure(!is_plain(content) || str_equal(buf_str(&once), buf_str(&twice)));
    ensure(str_equal(message_id, second_id));
    return 0;
}
