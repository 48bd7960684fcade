/* SPDX-License-Identifier: Apache-2.0 */
/* A server's lines: bounded, neutralised, and a code only from 200 to 599. */
#include "base/ensure.h"
#include "mail/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_of((const char *)data, size), text;
    struct reply reply = { 0 };
    autofree_buf struct buf shown = { 0 };
    enum reply_progress progress = REPLY_MORE;

    while (rest.len > 0 && progress == REPLY_MORE)
        progress = reply_add_line(&reply, str_cut(&rest, "\n"));
    ensure(reply.text.len <= (REPLY_LINE_BYTES_MAX + 1) * REPLY_LINES_MAX);
    if (progress == REPLY_COMPLETE) {
        ensure(reply.code >= 200 && reply.code <= 599);
        ensure(reply.enhanced[0] == '\0' || reply.enhanced[0] == '0' + reply.code / 100);
    }
    for (int i = 0; reply_line(&reply, i, &text); i++)
        ensure(i < REPLY_LINES_MAX);
    reply_format(&reply, &shown);
    for (size_t i = 0; i < shown.len; i++)
        ensure((unsigned char)shown.ptr[i] >= 0x20 && shown.ptr[i] != 0x7f);
    reply_free(&reply);
    return 0;
}
