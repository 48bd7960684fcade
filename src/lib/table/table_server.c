/* SPDX-License-Identifier: Apache-2.0 */
#include "table/table_server.h"

enum { LENGTH_DIGITS_MAX = 6, REASON_BYTES_MAX = 200 };

static int hex_value(char digit)
{
    char lower = ascii_lower(digit);

    if (ascii_is_digit(digit))
        return digit - '0';
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* What a server says about a failure, for the log, which neutralises it. */
static void set_reason(struct error *error, struct str text)
{
    text = str_take(str_trim(text), REASON_BYTES_MAX);
    if (text.len == 0)
        text = STR("the server gives no reason");
    error_set(error, "%.*s", STR_ARGS(text));
}

static enum server_reply bad(struct error *error, const char *what, struct str bytes)
{
    error_set(error, "%s: \"%.*s\"", what, STR_ARGS(str_take(bytes, 80)));
    return SERVER_REPLY_BAD;
}

/* ---- tcp: ---- */

static bool decode(struct arena *arena, struct str text, struct str *value)
{
    char *out = arena_new(arena, text.len + 1);
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        char byte = text.ptr[i];
        if (byte == '%') {
            bool is_whole = text.len - i > 2;
            int high = is_whole ? hex_value(text.ptr[i + 1]) : -1;
            int low = is_whole ? hex_value(text.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            byte = (char)(high << 4 | low);
            i += 2;
        }
        out[len++] = byte;
    }
    *value = str_of(out, len);
    return memchr(out, '\0', len) == NULL;
}

enum server_reply tcp_reply_parse(struct arena *arena, struct str bytes, size_t bytes_max,
                                  size_t *used, struct str *value, struct error *error)
{
    ptrdiff_t end = str_find_byte(str_take(bytes, bytes_max), '\n');

    if (end < 0)
        return bytes.len < bytes_max ? SERVER_REPLY_INCOMPLETE
                                     : bad(error, "reply too long", bytes);
    struct str line = str_take(bytes, (size_t)end), text;
    if (line.len < 4 || !ascii_is_space(line.ptr[3]) ||
        !decode(arena, str_trim(str_skip(line, 4)), &text))
        return bad(error, "malformed reply", line);
    *used = (size_t)end + 1;
    struct str code = str_take(line, 3);
    *value = text;
    if (str_equal(code, STR("200")))
        return SERVER_REPLY_FOUND;
    if (str_equal(code, STR("500")))
        return SERVER_REPLY_ABSENT;
    if (!str_equal(code, STR("400")))
        return bad(error, "unexpected reply", line);
    set_reason(error, text);
    return SERVER_REPLY_FAILED;
}

static bool check_key(struct str key, struct error *error)
{
    return key.len <= SERVER_KEY_BYTES_MAX ||
           error_set(error, "a key of %zu bytes is too long to ask for", key.len);
}

bool tcp_request_format(struct buf *request, struct str key, struct error *error)
{
    buf_append_text(request, "get ");
    for (size_t i = 0; i < key.len; i++) {
        char byte = key.ptr[i];
        if (byte == '%' || byte == ' ' || !ascii_is_print(byte))
            buf_printf(request, "%%%02x", (unsigned char)byte);
        else
            buf_append_byte(request, byte);
    }
    buf_append_byte(request, '\n');
    return check_key(key, error);
}

/* ---- socketmap: ---- */

/* A netstring, "12:Hello world!,". */
static enum server_reply take_netstring(struct str bytes, size_t bytes_max, struct str *content,
                                        size_t *used, struct error *error)
{
    ptrdiff_t colon = str_find_byte(str_take(bytes, LENGTH_DIGITS_MAX + 1), ':');
    uint64_t len;

    if (colon < 0 && bytes.len <= LENGTH_DIGITS_MAX) {
        for (size_t i = 0; i < bytes.len; i++)
            if (!ascii_is_digit(bytes.ptr[i]))
                return bad(error, "malformed netstring", bytes);
        return SERVER_REPLY_INCOMPLETE;
    }
    if (colon < 0 || !str_to_u64(str_take(bytes, (size_t)colon), &len) || len > bytes_max)
        return bad(error, "malformed netstring, or one that is too long", bytes);
    struct str rest = str_skip(bytes, (size_t)colon + 1);
    if (rest.len < len + 1)
        return SERVER_REPLY_INCOMPLETE;
    if (rest.ptr[len] != ',')
        return bad(error, "netstring without a comma at its end", bytes);
    *content = str_take(rest, len);
    *used = (size_t)colon + 1 + len + 1;
    return SERVER_REPLY_FOUND;
}

enum server_reply socketmap_reply_parse(struct arena *arena, struct str bytes, size_t bytes_max,
                                        size_t *used, struct str *value, struct error *error)
{
    struct str content;
    enum server_reply reply = take_netstring(bytes, bytes_max, &content, used, error);

    if (reply != SERVER_REPLY_FOUND)
        return reply;
    struct str rest = content, status = str_cut(&rest, " ");
    if (str_equal(status, STR("NOTFOUND")))
        return SERVER_REPLY_ABSENT;
    if (status.len < content.len && str_equal(status, STR("OK"))) {
        if (memchr(rest.ptr, '\0', rest.len) != NULL)
            return bad(error, "a value with a NUL byte", content);
        *value = arena_copy(arena, rest);
        return SERVER_REPLY_FOUND;
    }
    if (!str_equal(status, STR("TEMP")) && !str_equal(status, STR("TIMEOUT")) &&
        !str_equal(status, STR("PERM")))
        return bad(error, "unexpected reply", content);
    set_reason(error, content);
    return SERVER_REPLY_FAILED;
}

bool socketmap_request_format(struct buf *request, struct str map, struct str key,
                              struct error *error)
{
    /* Many servers read line by line inside; what a peer wrote may not become a second line. */
    for (size_t i = 0; i < key.len; i++)
        if ((unsigned char)key.ptr[i] < 0x20 || key.ptr[i] == 0x7f)
            return error_set(error, "a key with control characters is not asked for");
    buf_printf(request, "%zu:%.*s %.*s,", map.len + 1 + key.len, STR_ARGS(map), STR_ARGS(key));
    return check_key(key, error);
}
