/* SPDX-License-Identifier: Apache-2.0 */
#include "postsuper_id.h"

#include "mail/queue_id.h"

enum { ID_BYTES_MAX = 255 }; /* Postfix's bound */

enum postsuper_id postsuper_id_parse(struct str text)
{
    uint64_t queue_id;

    if (str_equal(text, STR("ALL")))
        return POSTSUPER_ID_ALL;
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_alnum(text.ptr[i]) && text.ptr[i] != '_')
            return POSTSUPER_ID_INVALID;
    if (text.len == 0 || text.len > ID_BYTES_MAX)
        return POSTSUPER_ID_INVALID;
    return queue_id_parse(text, &queue_id) ? POSTSUPER_ID_MESSAGE : POSTSUPER_ID_UNKNOWN;
}
