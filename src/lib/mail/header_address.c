/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/address.h"
#include "mail/address_list.h"
#include "mail/header.h"

/* True where it became another one; false in `is_good` where that cannot be said. */
static bool rewrite_item(const struct header_rewriter *rewriter, struct arena *arena,
                         bool is_sender, struct list_item *item, bool *is_good)
{
    autofree_buf struct buf external = { 0 };
    const struct rewrite_rules *rules = rewriter->rules;
    bool is_local = item->is_local && rules->may_append_myorigin && rules->myorigin.len > 0;
    struct str written = rewrite_as_written(
        arena, rules,
        is_local ? address_join(arena, item->address, rules->myorigin) : item->address);
    struct str canonical = address_normalise(arena, written), address = canonical;

    *is_good = rewriter->map == NULL || rewriter->map(rewriter->argument, is_sender, &address);
    if (str_equal(address, canonical)) {
        address = written;
        address.len -= str_ends_with(written, STR(".")) && !str_ends_with(canonical, STR("."));
    }
    address_format(address, &external);
    if (!*is_good)
        return false;
    if (str_equal_fold(buf_str(&external), item->text))
        return item->has_lost_route;
    item->text = arena_copy(arena, buf_str(&external));
    item->address = address;
    return true;
}

bool header_rewrite_addresses(const struct header_rewriter *rewriter, bool is_sender,
                              const struct header *header, struct buf *out)
{
    autoclear_arena struct arena arena = { 0 };
    struct str value = header_raw_value(header);
    struct address_list list;
    struct list_item *item;
    bool is_changed = false;

    address_list_parse(&arena, value, &list);
    for (size_t at = 0; (item = address_list_next(&list, &at)) != NULL;) {
        bool is_good;
        is_changed |= rewrite_item(rewriter, &arena, is_sender, item, &is_good);
        if (!is_good)
            return false;
    }
    if (is_changed)
        address_list_format(&list, header->name.len + 1, out);
    else
        buf_append(out, value);
    return true;
}
