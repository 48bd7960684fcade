/* SPDX-License-Identifier: Apache-2.0 */
/* What postsuper takes for a queue id. */
#pragma once

#include "base/str.h"

enum postsuper_id {
    POSTSUPER_ID_INVALID, /* no queue id at all: a warning */
    POSTSUPER_ID_UNKNOWN, /* well-formed, but nothing here has such an id: silently none */
    POSTSUPER_ID_MESSAGE, /* may be a message */
    POSTSUPER_ID_ALL,
};

enum postsuper_id postsuper_id_parse(struct str text);
