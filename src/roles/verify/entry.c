/* SPDX-License-Identifier: Apache-2.0 */
#include "entry.h"

enum { PROBE_PATIENCE_S = 1000 }; /* then a probe without a result counts as lost */

static bool take_number(struct str *rest, int64_t *number)
{
    struct str field = str_cut(rest, ":");

    return str_to_i64(field, number) && *number >= 0;
}

/* It will stand in a reply. */
static bool is_text(struct str reason)
{
    for (size_t i = 0; i < reason.len; i++)
        if ((unsigned char)reason.ptr[i] < 0x20 || reason.ptr[i] == 0x7f)
            return false;
    return true;
}

bool entry_parse(struct str text, struct entry *entry)
{
    int64_t status;

    if (!take_number(&text, &status) || status > VERIFY_UNKNOWN ||
        !take_number(&text, &entry->probed_s) || !take_number(&text, &entry->updated_s) ||
        !is_text(text))
        return false;
    entry->status = (enum verify_status)status;
    entry->reason = text;
    return true;
}

void entry_format(const struct entry *entry, struct buf *out)
{
    buf_printf(out, "%d:%lld:%lld:", (int)entry->status, (long long)entry->probed_s,
               (long long)entry->updated_s);
    buf_append(out, entry->reason);
}

struct entry entry_unknown(void)
{
    return (struct entry){ .status = VERIFY_UNKNOWN,
                           .reason = STR("Address verification in progress") };
}

static bool is_probed(const struct entry *entry, int64_t now_s)
{
    return now_s - entry->probed_s <= PROBE_PATIENCE_S;
}

static bool is_older(const struct entry *entry, int64_t positive_s, int64_t negative_s,
                     int64_t now_s)
{
    return entry->updated_s + (entry->status == VERIFY_OK ? positive_s : negative_s) < now_s;
}

bool entry_is_expired(const struct entry *entry, const struct entry_ages *ages, int64_t now_s)
{
    return !is_probed(entry, now_s) &&
           is_older(entry, ages->positive_expire_s, ages->negative_expire_s, now_s);
}

bool entry_needs_probe(const struct entry *entry, const struct entry_ages *ages, int64_t now_s)
{
    return !is_probed(entry, now_s) &&
           is_older(entry, ages->positive_refresh_s, ages->negative_refresh_s, now_s);
}

bool entry_update(struct entry *entry, const struct entry_ages *ages, enum verify_status status,
                  struct str reason, int64_t now_s)
{
    if (status != VERIFY_OK && entry->status == VERIFY_OK && entry->updated_s > 0 &&
        entry->updated_s + ages->positive_expire_s >= now_s)
        return false;
    *entry = (struct entry){ .status = status, .updated_s = now_s, .reason = reason };
    return true;
}
