/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the content checks share: the checks as they were opened. */
#pragma once

#include "mail/character_filter.h"
#include "mail/content_checks.h"
#include "table/table_list.h"

enum check_kind {
    CHECK_HEADERS,
    CHECK_MIME_HEADERS,
    CHECK_NESTED_HEADERS,
    CHECK_BODY,
    CHECK_KINDS
};

struct content_checks {
    struct table_list *tables[CHECK_KINDS];
    struct log_context log;
    struct mime_limits limits;
    uint64_t body_bytes; /* body_checks_size_limit */
    struct character_rules characters;
    bool refuses_8bit_headers, refuses_8bit_bodies, refuses_coded_parts; /* strict_… */
    bool looks_into_parts;
    bool is_for_delivery;
};
