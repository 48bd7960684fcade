/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes from a table server: whole and cut short. */
#include "base/ensure.h"
#include "table/table_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef enum server_reply parse_reply(struct arena *, struct str, size_t, size_t *, struct str *,
                                      struct error *);

static void check(parse_reply *parse, struct str bytes)
{
    autoclear_arena struct arena arena = { 0 };
    struct error error = { 0 };
    struct str value = STR(""), early = STR("");
    size_t used = 0, early_used = 0;
    enum server_reply reply =
        parse(&arena, bytes, SOCKETMAP_REPLY_BYTES_MAX, &used, &value, &error);

    if (reply == SERVER_REPLY_INCOMPLETE)
        ensure(bytes.len < SOCKETMAP_REPLY_BYTES_MAX + 10);
    if (reply == SERVER_REPLY_FAILED || reply == SERVER_REPLY_BAD)
        ensure(error.message[0] != '\0');
    if (reply == SERVER_REPLY_INCOMPLETE || reply == SERVER_REPLY_BAD)
        return;
    ensure(used > 0 && used <= bytes.len && value.len <= used);
    ensure(value.len == 0 || memchr(value.ptr, '\0', value.len) == NULL);
    ensure(parse(&arena, str_take(bytes, used - 1), SOCKETMAP_REPLY_BYTES_MAX, &early_used, &early,
                 &error) == SERVER_REPLY_INCOMPLETE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = str_of((const char *)data, size);
    struct buf request = { 0 };
    struct error error;

    check(tcp_reply_parse, bytes);
    check(socketmap_reply_parse, bytes);
    (void)!tcp_request_format(&request, bytes, &error);
    ensure(str_find_byte(buf_str(&request), '\n') == (ptrdiff_t)request.len - 1);
    buf_clear(&request);
    if (socketmap_request_format(&request, STR("map"), bytes, &error))
        ensure(str_find_byte(buf_str(&request), '\n') < 0);
    buf_free(&request);
    return 0;
}
