/* SPDX-License-Identifier: Apache-2.0 */
#include "config/twins.h"

#include "base/ensure.h"
#include "config/parameter.h"

static const struct {
    struct str lmtp, smtp;
} renamed[] = {
    { STR_INIT("lmtp_lhlo_name"), STR_INIT("smtp_helo_name") },
    { STR_INIT("lmtp_lhlo_timeout"), STR_INIT("smtp_helo_timeout") },
    { STR_INIT("lmtp_discard_lhlo_keywords"), STR_INIT("smtp_discard_ehlo_keywords") },
    { STR_INIT("lmtp_discard_lhlo_keyword_address_maps"),
      STR_INIT("smtp_discard_ehlo_keyword_address_maps") },
};

static const struct parameter *find_by_suffix(struct str suffix)
{
    for (size_t i = 0; i < parameter_count; i++) {
        if (str_starts_with(parameters[i].name, STR("smtp_")) &&
            str_equal(str_skip(parameters[i].name, 5), suffix))
            return &parameters[i];
    }
    return NULL;
}

bool config_twin_find(struct str lmtp_name, struct str *smtp_name)
{
    if (!str_starts_with(lmtp_name, STR("lmtp_")))
        return false;
    for (size_t i = 0; i < sizeof renamed / sizeof renamed[0]; i++) {
        if (str_equal(lmtp_name, renamed[i].lmtp)) {
            *smtp_name = renamed[i].smtp;
            return true;
        }
    }
    const struct parameter *twin = find_by_suffix(str_skip(lmtp_name, 5));
    if (twin == NULL)
        return false;
    *smtp_name = twin->name;
    return true;
}

void config_use_lmtp(struct config *config)
{
    for (size_t i = 0; i < parameter_count; i++) {
        struct str smtp_name;
        if (!config_twin_find(parameters[i].name, &smtp_name))
            continue;
        const struct parameter *smtp = parameter_find(smtp_name);
        ensure(smtp->type == parameters[i].type);
        memcpy((char *)config + smtp->offset, (char *)config + parameters[i].offset,
               parameter_field_bytes(smtp->type));
    }
}
