/* SPDX-License-Identifier: Apache-2.0 */
#include "own_mail.h"

#include "queue.h"

bool own_mail_clean_up(struct queue *queue, const struct queue_id_text *id, struct arena *arena,
                       struct envelope *envelope, struct buf *content)
{
    autofree_buf struct buf given = *content;
    struct cleanup_message message = {
        .arena = arena,
        .envelope = envelope,
        .queue_id = str_from(id->text),
        .parts = CLEANUP_INTERNAL,
        .origin = HEADERS_LOCAL,
    };

    *content = (struct buf){ 0 };
    bool is_taken =
        cleanup_run(queue->settings->cleanup, &message, buf_str(&given), content) == CLEANUP_DONE;
    return cleanup_end(&message, NULL) == CLEANUP_DONE && is_taken;
}
