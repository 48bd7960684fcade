/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a message when attempts end: results go to the store while other attempts are
 * open, and after the last one the message is deleted or waits for its next time, in one commit
 * together with the notification to its sender, if one is due.
 */
#pragma once

#include "message.h"

struct completion {
    struct list dirty;   /* messages with results to write while attempts are open */
    struct list unsaved; /* messages whose end could not be written: tried again */
    struct timer write_dirty;
    struct timer try_unsaved;
    uint64_t delivered_total, bounced_total, deferred_total, expired_total; /* recipients */
};

void completion_init(struct queue *queue);
void completion_clear(struct queue *queue);
/* An attempt of the message has ended, or it had none. May free the message. */
void completion_progress(struct message *message);
