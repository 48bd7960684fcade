/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XCLIENT and XFORWARD: a host that the configuration trusts speaks for another client. XCLIENT
 * makes the conversation that client's, from the greeting on; XFORWARD only tells where the mail
 * came from, for logs and notices.
 */
#pragma once

#include "conversation.h"

/* Whether this client may use them (smtpd_authorized_xclient_hosts, …_xforward_hosts), as it
 * connects. */
void xclient_authorise(struct conversation *conversation);
enum next xclient_run(struct conversation *conversation, struct str argument);
enum next xforward_run(struct conversation *conversation, struct str argument);
