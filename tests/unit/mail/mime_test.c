/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/mime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* What the walker told, a line for each event. */
struct told {
    struct buf text;
    struct mime_walker *walker;
};

static void on_header(void *argument, enum mime_headers where, struct str header)
{
    struct told *told = argument;

    buf_printf(&told->text, "%s %.*s\n", where == MIME_PART_HEADERS ? "part" : "nested",
               STR_ARGS(header));
}

static void on_text(void *argument, struct str piece, bool ends_line, uint64_t offset)
{
    struct told *told = argument;

    buf_printf(&told->text, "%s%llu %.*s%s\n",
               mime_walker_is_7bit(told->walker) ? "" : "8:", (unsigned long long)offset,
               STR_ARGS(piece), ends_line ? "" : "...");
}

static void on_wrong_encoding(void *argument, const char *encoding)
{
    buf_printf(&((struct told *)argument)->text, "wrong %s\n", encoding);
}

static void on_too_deep(void *argument, struct str header)
{
    buf_printf(&((struct told *)argument)->text, "deep %.*s\n", STR_ARGS(header));
}

struct message {
    const char *type, *encoding; /* of the message itself; NULL: none */
    const char *body;
    const char *expected;
    bool is_opaque;
};

static const struct mime_limits limits = {
    .nesting = 1, .boundary_bytes = 20, .header_bytes = 40, .line_bytes = 12
};

static void walk(const struct message *message, size_t size, struct told *told)
{
    struct mime_events events = { .header = on_header,
                                  .text = on_text,
                                  .wrong_encoding = on_wrong_encoding,
                                  .too_deep = on_too_deep,
                                  .argument = told };
    struct str body = str_from(message->body);

    buf_clear(&told->text);
    told->walker = mime_walker_new(&limits, &events, !message->is_opaque);
    if (message->type != NULL)
        mime_walker_header(told->walker, STR("content-type"), str_from(message->type));
    if (message->encoding != NULL)
        mime_walker_header(told->walker, STR("Content-Transfer-Encoding"),
                           str_from(message->encoding));
    while (body.len > 0) {
        mime_walker_add(told->walker, str_take(body, size));
        body = str_skip(body, size);
    }
    mime_walker_end(told->walker);
    mime_walker_free(&told->walker);
}

/* Whole, and however it is cut. */
static void expect(const struct message *messages, size_t count)
{
    struct told told = { .text = { 0 } };

    for (size_t i = 0; i < count; i++) {
        for (size_t size = strlen(messages[i].body); size > 0; size--) {
            walk(&messages[i], size, &told);
            assert_string_equal(buf_text(&told.text), messages[i].expected);
        }
    }
    buf_free(&told.text);
}

#define EXPECT(messages) expect(messages, sizeof(messages) / sizeof(messages)[0])

static void without_parts_all_is_text(void **state)
{
    static const struct message messages[] = {
        { .body = "a\r\n\r\nlast", .expected = "1 a\n3 \n4 last...\n" },
        { .body = "--b\r\nX: y\r\n", .expected = "1 --b\n5 X: y\n" },
        { .body = "0123456789abcdef\r\nx\r\n", .expected = "1 0123456789ab...\n13 cdef\n18 x\n" },
        { .type = "multipart/mixed; boundary=b",
          .body = "--b\r\nX: y\r\n\r\nz\r\n",
          .expected = "1 --b\n5 X: y\n10 \n11 z\n",
          .is_opaque = true },
        { .type = "multipart/mixed", .body = "--b\r\nX: y\r\n", .expected = "1 --b\n5 X: y\n" },
    };

    EXPECT(messages);
    (void)state;
}

static void parts_have_headers_and_bodies(void **state)
{
    static const struct message messages[] = {
        { .type = "multipart/mixed; boundary=b",
          .body = "pre\r\n--b\r\nX: y\r\n z\r\n\r\nbody\r\n--b--\r\npost\r\n",
          .expected = "1 pre\n5 --b\npart X: y\r\n z\n0 \n1 body\n0 --b--\n6 post\n" },
        /* what is no header ends them */
        { .type = "multipart/mixed; boundary=\"b\"",
          .body = "--b\r\nX: y\r\nno header\r\n",
          .expected = "1 --b\npart X: y\n0 no header\n" },
        { .type = "Multipart/Digest; (c) boundary = b",
          .body = "--b\r\n\r\nSubject: x\r\n\r\ny\r\n",
          .expected = "1 --b\n0 \nnested Subject: x\n0 \n1 y\n" },
        { .type = "message/rfc822",
          .body = "Subject: x\r\n\r\ny\r\n",
          .expected = "nested Subject: x\n0 \n1 y\n" },
    };

    EXPECT(messages);
    (void)state;
}

static void an_encoding_is_that_of_its_part_alone(void **state)
{
    static const struct message messages[] = {
        { .encoding = "8bit", .body = "x\r\n", .expected = "8:1 x\n" },
        { .encoding = " BINARY (c)", .body = "x\r\n", .expected = "8:1 x\n" },
        { .encoding = "7bit", .body = "x\r\n", .expected = "1 x\n" },
        { .encoding = "x-other", .body = "x\r\n", .expected = "1 x\n" },
        { .type = "multipart/mixed; boundary=b",
          .encoding = "8bit",
          .body = "x\r\n--b\r\n\r\ny\r\n",
          .expected = "8:1 x\n8:3 --b\n0 \n1 y\n" },
    };

    EXPECT(messages);
    (void)state;
}

static void composite_types_may_not_be_encoded(void **state)
{
    static const struct message messages[] = {
        { .type = "multipart/mixed; boundary=b",
          .encoding = "base64",
          .body = "x\r\n",
          .expected = "wrong base64\n8:1 x\n" },
        { .type = "message/rfc822",
          .encoding = "quoted-printable",
          .body = "\r\n",
          .expected = "wrong quoted-printable\n0 \n" },
        { .type = "message/rfc822", .encoding = "8bit", .body = "\r\n", .expected = "0 \n" },
        { .type = "message/partial",
          .encoding = "8bit",
          .body = "x\r\n",
          .expected = "wrong 8bit\n8:1 x\n" },
        { .type = "message/partial", .encoding = "base64", .body = "x\r\n", .expected = "8:1 x\n" },
        { .type = "message/delivery-status",
          .encoding = "base64",
          .body = "x\r\n",
          .expected = "8:1 x\n" },
        { .type = "text/plain", .encoding = "base64", .body = "x\r\n", .expected = "8:1 x\n" },
    };

    EXPECT(messages);
    (void)state;
}

static void parts_too_deep_are_told_and_not_looked_into(void **state)
{
    struct told told = { .text = { 0 } };
    autofree_buf struct buf body = { 0 };
    struct message message = { .type = "multipart/mixed; boundary=b0" };

    for (int level = 0; level < 4; level++)
        buf_printf(&body, "--b%d\r\nContent-Type: multipart/x; boundary=b%d\r\n\r\n", level,
                   level + 1);
    message.body = buf_text(&body);
    walk(&message, body.len, &told);
    struct str text = buf_str(&told.text);
    assert_true(str_find(text, STR("deep Content-Type: multipart/x; boundary=b3\n")) >= 0);
    assert_true(str_find(text, STR("deep Content-Type: multipart/x; boundary=b2\n")) < 0);
    buf_free(&told.text);
    (void)state;
}

static void transfer_encodings_are_read(void **state)
{
    static const struct {
        const char *value;
        enum transfer_encoding encoding;
    } cases[] = {
        { "7bit", TRANSFER_7BIT },
        { "8BIT", TRANSFER_8BIT },
        { "binary", TRANSFER_BINARY },
        { "Quoted-Printable", TRANSFER_QUOTED_PRINTABLE },
        { " (a) base64", TRANSFER_BASE64 },
        { "x-base64", TRANSFER_7BIT },
        { "", TRANSFER_7BIT },
        { "\"base64\"", TRANSFER_7BIT },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(transfer_encoding_parse(str_from(cases[i].value)), cases[i].encoding);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_parts_all_is_text),
        cmocka_unit_test(parts_have_headers_and_bodies),
        cmocka_unit_test(an_encoding_is_that_of_its_part_alone),
        cmocka_unit_test(composite_types_may_not_be_encoded),
        cmocka_unit_test(parts_too_deep_are_told_and_not_looked_into),
        cmocka_unit_test(transfer_encodings_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
