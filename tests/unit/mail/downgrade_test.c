/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/downgrade.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void bodies_become_quoted_printable(void **state)
{
    static const char *const cases[][2] = {
        /* Declared 8bit: header and body change. */
        { "Subject: x\r\nContent-Transfer-Encoding: 8bit\r\n\r\ngr\xc3\xbc\xc3\x9f"
          "e = 1 \r\n\r\nplain\r\n",
          "Subject: x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
          "gr=C3=BC=C3=9Fe =3D 1=20\r\n\r\nplain\r\n" },
        /* Not declared: nothing changes. */
        { "Subject: x\r\n\r\ngr\xc3\xbc\r\n", "Subject: x\r\n\r\ngr\xc3\xbc\r\n" },
        { "content-transfer-encoding: BINARY (x)\r\n\r\n\x80",
          "Content-Transfer-Encoding: quoted-printable\r\n\r\n=80" },
        /* Parts, each as it is declared. */
        { "Content-Type: multipart/mixed; boundary=\"a b\"\r\nContent-Transfer-Encoding: "
          "8bit\r\n\r\n"
          "pre\xc3\xbc\r\n--a b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xbc\r\n"
          "--a b\r\nContent-Transfer-Encoding: base64\r\n\r\nw7w=\r\n--a b--\r\nepi=\xc3\xbc\r\n",
          "Content-Type: multipart/mixed; boundary=\"a b\"\r\nContent-Transfer-Encoding: "
          "7bit\r\n\r\n"
          "pre\xc3\xbc\r\n--a b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BC\r\n"
          "--a b\r\nContent-Transfer-Encoding: base64\r\n\r\nw7w=\r\n--a b--\r\nepi=\xc3\xbc\r\n" },
        /* A message within. */
        { "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
          "Subject: y\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xbc\r\n",
          "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
          "Subject: y\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BC\r\n" },
        /* A digest's parts are messages. */
        { "Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\n"
          "Content-Transfer-Encoding: 8bit\r\n\r\n\xc3\xbc\r\n--d--\r\n",
          "Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\n"
          "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BC\r\n--d--\r\n" },
        /* An outer boundary ends the inner parts. */
        { "Content-Type: multipart/a; boundary=o\r\n\r\n--o\r\nContent-Type: multipart/b; "
          "boundary=i\r\n\r\n--i\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xbc\r\n--o\r\n\r\n"
          "--i\r\n\xc3\xbc\r\n--o--\r\n",
          "Content-Type: multipart/a; boundary=o\r\n\r\n--o\r\nContent-Type: multipart/b; "
          "boundary=i\r\n\r\n--i\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BC\r\n"
          "--o\r\n\r\n--i\r\n\xc3\xbc\r\n--o--\r\n" },
        /* Without an empty line: what is encoded does not become a header. */
        { "Content-Transfer-Encoding: 8bit\r\n\xc3: y\r\nX: y\r\n",
          "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3: y\r\nX: y\r\n" },
        { "", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        autofree_buf struct buf out = { 0 };
        downgrade_content(str_from(cases[i][0]), &out);
        assert_string_equal(buf_text(&out), cases[i][1]);
    }
}

static void long_lines_are_broken_softly(void **state)
{
    autofree_buf struct buf content = { 0 }, out = { 0 };
    struct str rest, line;

    (void)state;
    buf_append_text(&content, "Content-Transfer-Encoding: 8bit\r\n\r\n");
    for (int i = 0; i < 500; i++)
        buf_append_text(&content, "\xc3\xbc"
                                  "x");
    downgrade_content(buf_str(&content), &out);
    assert_false(downgrade_is_needed(buf_str(&out)));
    rest = buf_str(&out);
    while (rest.len > 0) {
        line = str_cut(&rest, "\n");
        assert_true(line.len <= 77);
    }
}

static void deep_nesting_ends_at_the_limit(void **state)
{
    autofree_buf struct buf content = { 0 }, out = { 0 };

    (void)state;
    for (int i = 0; i < 5000; i++)
        buf_printf(&content, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i);
    downgrade_content(buf_str(&content), &out);
    assert_true(str_equal(buf_str(&content), buf_str(&out)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_become_quoted_printable),
        cmocka_unit_test(long_lines_are_broken_softly),
        cmocka_unit_test(deep_nesting_ends_at_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
