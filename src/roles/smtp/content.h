/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content as one server gets it: what speaks against sending it there, the headers that the
 * service's flags put in front, line lengths, deadlines.
 */
#pragma once

#include "delivery.h"
#include "session.h"

/* What can be known before anything is sent; NULL: nothing. */
const struct failure *content_obstacle(const struct session *session);
/* Sends it with the final dot, flushed. */
enum stream_outcome content_send(struct session *session);
