/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said, without what a client proves itself with: into the history (history.h), and with
 * debug_peer_list: the dialogue with some clients in the log, "< name[address]: EHLO x" and
 * "> name[address]: 250 …", without what they prove themselves with.
 */
#pragma once

#include "conversation.h"

/* Once the client's name is known: whether its dialogue is logged. */
void trace_begin(struct conversation *conversation);
/* A command as it came. */
void trace_command(struct conversation *conversation, struct str line);
/* A secret that came, or a challenge: only that there was one. */
void trace_secret(struct conversation *conversation);
/* A whole reply, its lines with their ends. */
void trace_reply(struct conversation *conversation, struct str lines);
