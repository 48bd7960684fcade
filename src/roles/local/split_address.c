/* SPDX-License-Identifier: Apache-2.0 */
#include "split_address.h"

static bool is_reserved(struct str local, const struct config *config)
{
    if (str_equal_fold(local, STR("mailer-daemon")) ||
        str_equal_fold(local, config->double_bounce_sender) ||
        str_equal_fold(local, STR("postmaster")))
        return true;
    if (!config->owner_request_special || str_find_byte(config->recipient_delimiter, '-') < 0)
        return false;
    return str_starts_with_fold(local, STR("owner-")) || str_ends_with_fold(local, STR("-request"));
}

struct split_address split_address(struct str local, const struct config *config)
{
    struct split_address split = { .user = local, .extension = STR("") };

    if (config->recipient_delimiter.len == 0 || is_reserved(local, config))
        return split;
    for (size_t i = 1; i < local.len; i++) {
        if (str_find_byte(config->recipient_delimiter, local.ptr[i]) < 0)
            continue;
        split.user = str_take(local, i);
        split.extension = str_skip(local, i + 1);
        split.has_extension = true;
        break;
    }
    return split;
}
