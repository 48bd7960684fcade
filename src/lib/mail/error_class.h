/* SPDX-License-Identifier: Apache-2.0 */
/* notify_classes: what the postmaster may be told of. Pure. */
#pragma once

#include "base/str.h"

enum error_class {
    ERROR_CLASS_BOUNCE = 1,
    ERROR_CLASS_2BOUNCE = 2,
    ERROR_CLASS_DATA = 4,
    ERROR_CLASS_DELAY = 8,
    ERROR_CLASS_POLICY = 16,
    ERROR_CLASS_PROTOCOL = 32,
    ERROR_CLASS_RESOURCE = 64,
    ERROR_CLASS_SOFTWARE = 128,
};
enum {
    /* Those that come with the record of a dialogue. */
    ERROR_CLASSES_OF_DIALOGUES = ERROR_CLASS_DATA | ERROR_CLASS_POLICY | ERROR_CLASS_PROTOCOL |
                                 ERROR_CLASS_RESOURCE | ERROR_CLASS_SOFTWARE,
};

/* enum error_class bits; a word that is none counts for nothing. */
unsigned error_classes_parse(struct str text);
