/* SPDX-License-Identifier: Apache-2.0 */
/* Mail that the queue makes itself (notices, probes), and that passed no smtpd or pickup. */
#pragma once

#include "message.h"

/* What cleanup makes of it: the address it goes to may be an alias. `content` is replaced. False:
 * cleanup does not take it just now. */
must_check bool own_mail_clean_up(struct queue *queue, const struct queue_id_text *id,
                                  struct arena *arena, struct envelope *envelope,
                                  struct buf *content);
