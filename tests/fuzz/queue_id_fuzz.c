/* SPDX-License-Identifier: Apache-2.0 */
/* A text that is a queue id is one of the two texts of that id. */
#include "base/ensure.h"
#include "mail/queue_id.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_of((const char *)data, size);
    uint64_t queue_id;

    if (!queue_id_parse(text, &queue_id))
        return 0;
    struct queue_id_text plain = queue_id_format(queue_id, false);
    struct queue_id_text wide = queue_id_format(queue_id, true);
    ensure(str_equal(text, str_from(plain.text)) || str_equal(text, str_from(wide.text)));
    return 0;
}
