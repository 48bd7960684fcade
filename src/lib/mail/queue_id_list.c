/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/queue_id_list.h"

enum { ID_BYTES = 8 };

void queue_id_list_add(struct buf *list, uint64_t queue_id)
{
    for (int i = 0; i < ID_BYTES; i++)
        buf_append_byte(list, (char)(queue_id >> (8 * i)));
}

bool queue_id_list_parse(struct arena *arena, struct str list, uint64_t **ids, size_t *count)
{
    *count = list.len / ID_BYTES;
    if (list.len % ID_BYTES != 0 || *count > QUEUE_ID_LIST_MAX)
        return false;
    *ids = arena_new_array(arena, *count + 1, sizeof **ids);
    for (size_t i = 0; i < list.len; i++)
        (*ids)[i / ID_BYTES] |= (uint64_t)(unsigned char)list.ptr[i] << (8 * (i % ID_BYTES));
    return true;
}
