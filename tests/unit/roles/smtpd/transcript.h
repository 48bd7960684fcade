/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dialogues as text files, played to a conversation:
 *
 *     # a comment
 *     main.cf: name = value    another line for main.cf (before the first C: or S:)
 *     client: 192.0.2.1        from where it connects (default 127.0.0.1)
 *     early: EHLO x            a line that is sent before the server greets
 *     whole only               not also byte by byte: the dialogue is about timing
 *     queue: refuses           accepts, refuses, dies, shut: from here on
 *     C: MAIL FROM:<a@b>       sent with CRLF behind it
 *     C! raw\r\n bytes         sent as it is, \r \n \t \\ \0 \xHH are bytes
 *     C* 5000 a                a byte, so many times
 *     S: 250 2.1.0 Ok          the next reply; "..." at its end stands for anything
 *     S+ 250                   a reply of any number of lines with that code
 *     S: closed                the connection ends
 *     T: clean                 the session has no transaction, and nothing left of one
 *     Q: 1                     so many messages were accepted by the queue
 *     from: a@b                of the last message: its sender,
 *     to: c@d e@f              its recipients,
 *     ends: \r\n\r\nhello\r\n  and how its content ends
 *     L: text                  some log line contains that; "L! text": none does
 *
 * Consecutive C lines leave in one write, or byte by byte.
 */
#pragma once

#include "world.h"

/* Plays the file both ways; false with the reason on standard error. */
bool transcript_play(const char *path);
