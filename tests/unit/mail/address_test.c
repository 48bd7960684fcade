/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/address.h"
#include "mail/rewrite.h"
#include "mail/xtext.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void paths_become_addresses_or_are_refused(void **state)
{
    static const struct path_rules sender = { .kind = PATH_SENDER };
    static const struct path_rules recipient = { .kind = PATH_RECIPIENT };
    static const struct path_rules strict = { .kind = PATH_RECIPIENT, .is_strict = true };
    static const struct path_rules wide = { .kind = PATH_RECIPIENT, .is_utf8 = true };
    static const struct path_rules dashing = { .kind = PATH_RECIPIENT,
                                               .may_start_with_dash = true };
    static const struct {
        const struct path_rules *rules;
        const char *argument;
        enum path_outcome outcome;
        const char *address, *parameters;
    } cases[] = {
        { &sender, "FROM:<a@b.example>", PATH_OK, "a@b.example", "" },
        { &sender, "from:<a@b> SIZE=3 BODY=7BIT", PATH_OK, "a@b", " SIZE=3 BODY=7BIT" },
        { &sender, "FROM: <a@b>", PATH_OK, "a@b", "" },
        { &sender, "FROM:a@b SIZE=1", PATH_OK, "a@b", " SIZE=1" },
        { &sender, "FROM:<>", PATH_OK, "", "" },
        { &sender, "FROM:< a@b >", PATH_OK, "a@b", "" },
        { &sender, "FROM:", PATH_NO_KEYWORD, "", "" },
        { &sender, "FROM", PATH_NO_KEYWORD, "", "" },
        { &sender, "TO:<a@b>", PATH_NO_KEYWORD, "", "" },
        { &sender, "FROM:<@a,@b:c@d>", PATH_OK, "c@d", "" },
        { &sender, "FROM:<@a:@b:c@d>", PATH_BAD, "", "" },
        { &sender, "FROM:<@a:>", PATH_BAD, "", "" },
        { &sender, "FROM:<@a@b>", PATH_BAD, "", "" },
        { &sender, "FROM:<@b>", PATH_BAD, "", "" },
        { &sender, "FROM:<;sleep 66;>", PATH_BAD, "", "" },
        { &sender, "FROM:<;id;@>", PATH_BAD, "", "" },
        { &sender, "FROM:<a@b", PATH_BAD, "", "" },
        { &sender, "FROM:<<a@b>>", PATH_OK, "a@b", "" },
        { &sender, "FROM:a@b> SIZE=3", PATH_OK, "a@b", " SIZE=3" },
        { &sender, "FROM:(a(b\\))c)<a@b>", PATH_OK, "a@b", "" },
        { &sender, "FROM:<a@b (c)>", PATH_OK, "a@b", "" },
        { &sender, "FROM:< a @ b . c >", PATH_OK, "a@b.c", "" },
        { &sender, "FROM:<n<a@b>>", PATH_OK, "a@b", "" },
        { &sender, "FROM:<@:a@b>", PATH_OK, "a@b", "" },
        { &sender, "FROM:<@c: a@b>", PATH_OK, "a@b", "" },
        { &sender, "FROM:<a:b@c>", PATH_OK, "a:b@c", "" },
        { &sender, "FROM:<a:b@c@d>", PATH_BAD, "", "" },
        { &sender, "FROM:<@a,b@c>", PATH_BAD, "", "" },
        { &sender, "FROM:n <a@b>", PATH_OK, "n", " <a@b>" },
        { &sender, "FROM:<a@b>x", PATH_BAD, "", "" },
        { &sender, "FROM:<a@b>,<c@d>", PATH_BAD, "", "" },
        { &sender, "FROM:<(a@b>", PATH_BAD, "", "" },
        { &sender, "FROM:<a (c) b@c>", PATH_BAD, "", "" },
        { &sender, "FROM:<\"a\"b@c>", PATH_BAD, "", "" },
        { &sender, "FROM:<a\"b\"@c>", PATH_BAD, "", "" },
        { &sender, "FROM:<a.\"b c\"@d>", PATH_OK, "a.b c@d", "" },
        { &sender, "FROM:<a@b\\>", PATH_BAD, "", "" },
        { &sender, "FROM:<a\tb@c>", PATH_BAD, "", "" },
        { &sender, "FROM:<a@b\x01>", PATH_BAD, "", "" },
        { &recipient, "TO:<>", PATH_BAD, "", "" },
        { &recipient, "TO:<postmaster>", PATH_OK, "postmaster", "" },
        { &recipient, "TO:postmaster", PATH_OK, "postmaster", "" },
        { &recipient, "TO:<a%b@c>", PATH_OK, "a%b@c", "" },
        { &recipient, "TO:<a!b@c>", PATH_OK, "a!b@c", "" },
        { &recipient, "TO:<\"a@b\"@c>", PATH_OK, "a@b@c", "" },
        { &recipient, "TO:<a@b@c>", PATH_OK, "a@b@c", "" },
        { &recipient, "TO:<\"a b\"@c> NOTIFY=NEVER", PATH_OK, "a b@c", " NOTIFY=NEVER" },
        { &recipient, "TO:<\"a>b\"@c>", PATH_OK, "a>b@c", "" },
        { &recipient, "TO:<\"a\\\"b\\\\\"@c>", PATH_OK, "a\"b\\@c", "" },
        { &recipient, "TO:<a\\@b@c>", PATH_OK, "a@b@c", "" },
        { &recipient, "TO:<\"a@b>", PATH_BAD, "", "" },
        { &recipient, "TO:<\"\"@c>", PATH_BAD, "", "" },
        { &recipient, "TO:<\"a@b\">", PATH_BAD, "", "" },
        { &recipient, "TO:<|/bin/sh>", PATH_OK, "|/bin/sh", "" },
        { &recipient, "TO:</etc/passwd>", PATH_OK, "/etc/passwd", "" },
        { &recipient, "TO:<:include:/x>", PATH_BAD, "", "" },
        { &recipient, "TO:<-oQ/tmp>", PATH_BAD, "", "" },
        { &dashing, "TO:<-oQ/tmp>", PATH_OK, "-oQ/tmp", "" },
        { &recipient, "TO:<a(b)@c>", PATH_OK, "a@c", "" },
        { &recipient, "TO:<a,b@c>", PATH_BAD, "", "" },
        { &recipient, "TO:<a b@c>", PATH_BAD, "", "" },
        { &recipient, "TO:<a@>", PATH_BAD, "", "" },
        { &recipient, "TO:<a@b.>", PATH_OK, "a@b.", "" },
        { &recipient, "TO:<a@b..>", PATH_BAD, "", "" },
        { &recipient, "TO:<a@.b>", PATH_BAD, "", "" },
        { &recipient, "TO:<a@b_c>", PATH_OK, "a@b_c", "" },
        { &recipient, "TO:<a@1.2.3.4>", PATH_BAD, "", "" },
        { &recipient, "TO:<a@[1.2.3.4]>", PATH_OK, "a@[1.2.3.4]", "" },
        { &recipient, "TO:<a@[IPv6:::1]>", PATH_OK, "a@[IPv6:::1]", "" },
        { &recipient, "TO:<a@[]>", PATH_BAD, "", "" },
        { &recipient, "TO:<a@[x@y]>", PATH_BAD, "", "" },
        { &recipient, "TO:<a@[1.2.3.4>", PATH_BAD, "", "" },
        { &recipient, "TO:<a@b]>", PATH_BAD, "", "" },
        { &recipient, "TO:<a..b@c>", PATH_OK, "a..b@c", "" },
        { &recipient, "TO:<\xc3\xa9@c>", PATH_NOT_ASCII, "", "" },
        { &strict, "TO:a@b", PATH_BAD, "", "" },
        { &strict, "TO:<a@b>", PATH_OK, "a@b", "" },
        { &strict, "TO:<<a@ b>>", PATH_OK, "a@b", "" },
        { &strict, "TO:<(c)a@b>", PATH_BAD, "", "" },
        { &wide, "TO:<\xc3\xa9@\xc3\xa9.example>", PATH_OK, "\xc3\xa9@\xc3\xa9.example", "" },
        { &wide, "TO:<\xc0\xaf@c>", PATH_BAD, "", "" },
        { &wide, "TO:<\xed\xa0\x80@c>", PATH_BAD, "", "" },
        { &wide, "TO:<a\xe2\x80\xae@c>", PATH_BAD, "", "" },
        { &wide, "TO:<a\xc2\x85@c>", PATH_BAD, "", "" },
        { &wide, "TO:<a\xc3>", PATH_BAD, "", "" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena arena = { 0 };
        struct path path;
        enum path_outcome outcome =
            path_parse(&arena, str_from(cases[i].argument), *cases[i].rules, &path);
        if (outcome != cases[i].outcome ||
            (outcome == PATH_OK && (!str_equal(path.address, str_from(cases[i].address)) ||
                                    !str_equal(path.parameters, str_from(cases[i].parameters)))))
            fail_msg("%s: outcome %d, \"%.*s\"", cases[i].argument, (int)outcome,
                     STR_ARGS(path.address));
        arena_clear(&arena);
    }
}

static void a_nul_or_an_endless_address_is_refused(void **state)
{
    static const struct path_rules rules = { .kind = PATH_RECIPIENT };
    struct arena arena = { 0 };
    struct buf argument = { 0 };
    struct path path;

    assert_int_equal(path_parse(&arena, STR("TO:<a\0@b>"), rules, &path), PATH_BAD);
    buf_append_text(&argument, "TO:<");
    for (int i = 0; i < ADDRESS_BYTES_MAX; i++)
        buf_append_byte(&argument, 'a');
    buf_append_text(&argument, "@b>");
    assert_int_equal(path_parse(&arena, buf_str(&argument), rules, &path), PATH_TOO_LONG);
    buf_free(&argument);
    arena_clear(&arena);
}

static void parameters_come_one_by_one(void **state)
{
    struct str rest = STR(" SIZE=12  BODY=8BITMIME SMTPUTF8 X= =y");
    struct esmtp_parameter parameter;

    assert_true(esmtp_parameter_next(&rest, &parameter));
    assert_true(str_equal(parameter.keyword, STR("SIZE")) && parameter.has_value);
    assert_true(str_equal(parameter.value, STR("12")));
    assert_true(esmtp_parameter_next(&rest, &parameter));
    assert_true(esmtp_parameter_next(&rest, &parameter));
    assert_true(str_equal(parameter.keyword, STR("SMTPUTF8")) && !parameter.has_value);
    assert_true(esmtp_parameter_next(&rest, &parameter));
    assert_true(parameter.has_value && parameter.value.len == 0);
    assert_true(esmtp_parameter_next(&rest, &parameter));
    assert_int_equal(parameter.keyword.len, 0);
    assert_false(esmtp_parameter_next(&rest, &parameter));
}

static void normalised_addresses_have_one_spelling(void **state)
{
    static const struct {
        const char *in, *normal, *folded;
    } cases[] = {
        { "", "", "" },
        { "Postmaster", "Postmaster", "postmaster" },
        { "A@B.Example.", "A@b.example", "a@b.example" },
        { "a@b", "a@b", "a@b" },
        { "x@y@Z", "x@y@z", "x@y@z" },
        { "A@[IPv6:2001:DB8:0::1]", "A@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]" },
        { "a@[ipv6:::ffff:192.0.2.1]", "a@[192.0.2.1]", "a@[192.0.2.1]" },
        { "a@[::1]", "a@[IPv6:::1]", "a@[IPv6:::1]" },
        { "a@[192.0.2.1]", "a@[192.0.2.1]", "a@[192.0.2.1]" },
        { "a@[Other:X]", "a@[other:x]", "a@[other:x]" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena arena = { 0 };
        struct str normal = address_normalise(&arena, str_from(cases[i].in));
        struct str folded = address_fold(&arena, str_from(cases[i].in));
        if (!str_equal(normal, str_from(cases[i].normal)) ||
            !str_equal(folded, str_from(cases[i].folded)))
            fail_msg("%s: \"%.*s\", \"%.*s\"", cases[i].in, STR_ARGS(normal), STR_ARGS(folded));
        arena_clear(&arena);
    }
}

static void rewriting_completes_addresses_as_trivial_rewrite_does(void **state)
{
    static const struct rewrite_rules rules = {
        STR_INIT("Origin.example"), STR_INIT("example.com"), true, true, true, true,
    };
    static const struct rewrite_rules none = { .myorigin = STR_INIT("x") };
    static const struct {
        const struct rewrite_rules *rules;
        const char *in, *out;
    } cases[] = {
        { &rules, "", "" },
        { &rules, "root", "root@origin.example" },
        { &rules, "a@host", "a@host.example.com" },
        { &rules, "a@host.net", "a@host.net" },
        { &rules, "site.net!user", "user@site.net" },
        { &rules, "user%site.net", "user@site.net" },
        { &rules, "a!b@c.net", "a!b@c.net" },
        { &rules, "!b", "b@" },
        { &rules, "b!", "@b.example.com" },
        { &rules, "b%", "b@" },
        { &rules, "a@[1.2.3.4]", "a@[1.2.3.4]" },
        { &none, "user%site", "user%site" },
        { &none, "a@host", "a@host" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena arena = { 0 };
        struct str out = rewrite_address(&arena, cases[i].rules, str_from(cases[i].in));
        if (!str_equal(out, str_from(cases[i].out)))
            fail_msg("%s: \"%.*s\"", cases[i].in, STR_ARGS(out));
        arena_clear(&arena);
    }
}

static void external_form_quotes_where_needed_and_back(void **state)
{
    static const struct {
        const char *internal, *external;
    } cases[] = {
        { "", "" },
        { "a.b@c", "a.b@c" },
        { "a b@c", "\"a b\"@c" },
        { "a@b@c", "\"a@b\"@c" },
        { "a\"\\b@c", "\"a\\\"\\\\b\"@c" },
        { "a..b@c", "\"a..b\"@c" },
        { ".a@c", "\".a\"@c" },
        { "a.@c", "\"a.\"@c" },
        { "a%b!c@d", "a%b!c@d" },
        { "postmaster", "postmaster" },
        { "\xc3\xa9@c", "\xc3\xa9@c" },
        { "a@[IPv6:::1]", "a@[IPv6:::1]" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena arena = { 0 };
        struct buf out = { 0 };
        address_format(str_from(cases[i].internal), &out);
        if (!str_equal(buf_str(&out), str_from(cases[i].external)))
            fail_msg("%s: %s", cases[i].internal, buf_text(&out));
        struct str back = address_unquote(&arena, buf_str(&out));
        if (!str_equal(back, str_from(cases[i].internal)))
            fail_msg("back: %s: \"%.*s\"", cases[i].internal, STR_ARGS(back));
        buf_free(&out);
        arena_clear(&arena);
    }
}

static void routed_addresses_are_told(void **state)
{
    assert_true(address_is_routed(STR("a%b@c")));
    assert_true(address_is_routed(STR("a!b@c")));
    assert_true(address_is_routed(STR("a@b@c")));
    assert_false(address_is_routed(STR("a@c")));
}

static void domains_are_checked(void **state)
{
    static const char *const good[] = { "a", "a.b", "a.b.", "a-b.c", "a_b", "1a.2", "a.1" };
    static const char *const bad[] = {
        "",    ".",  "a..b", ".a", "-a", "a-", "a-.b", "1.2.3.4", "a b", "a/b", "\xc3\xa9.example",
        "a..", "a@b"
    };
    char label[70];

    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(domain_is_valid(str_from(good[i]), false));
    for (size_t i = 0; i < COUNT(bad); i++)
        if (domain_is_valid(str_from(bad[i]), false))
            fail_msg("%s", bad[i]);
    memset(label, 'a', sizeof label);
    assert_true(domain_is_valid(str_of(label, 63), false));
    assert_false(domain_is_valid(str_of(label, 64), false));
}

static void xtext_goes_there_and_back(void **state)
{
    static const char *const bad[] = { "+00", "+0A", "+0D", "+7F", "+", "+4", "+4G", "a b", "a\n" };
    struct buf coded = { 0 }, back = { 0 };

    xtext_encode(STR("a+b=c d\xc3"), &coded);
    assert_string_equal(buf_text(&coded), "a+2Bb+3Dc+20d+C3");
    assert_true(xtext_decode(buf_str(&coded), &back));
    assert_string_equal(buf_text(&back), "a+b=c d\xc3");
    for (size_t i = 0; i < COUNT(bad); i++)
        if (xtext_decode(str_from(bad[i]), &back))
            fail_msg("%s", bad[i]);
    buf_clear(&coded);
    xtext_normalise(STR("a=b+2Bc"), &coded); /* '=' comes uncoded from many a list server */
    assert_string_equal(buf_text(&coded), "a+3Db+2Bc");
    buf_clear(&coded);
    xtext_normalise(STR("a b+"), &coded);
    assert_string_equal(buf_text(&coded), "a+20b+2B");
    buf_free(&coded);
    buf_free(&back);
}

static void unitext_goes_there_and_back(void **state)
{
    static const struct {
        const char *coded, *plain; /* plain NULL: it is refused */
    } cases[] = {
        { "a@b", "a@b" },
        { "\\x{E4}@b", "\xc3\xa4@b" },
        { "\xc3\xa4", "\xc3\xa4" },
        { "\\x{2B}", "+" },
        { "\\x{5C}", "\\" },
        { "\\x{1F600}", "\xf0\x9f\x98\x80" },
        { "\\x{20AC}", "\xe2\x82\xac" },
        { "\\x{D800}", NULL },
        { "\\x{110000}", NULL },
        { "\\x{}", NULL },
        { "\\x{0A}", NULL },
        { "\\x{E4", NULL },
        { "\\", NULL },
        { "\\y", NULL },
        { "a+2Bb", NULL },
        { "a=b", NULL },
        { "a b", NULL },
        { "\xff", NULL },
        { "\\x{202E}", NULL },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf plain = { 0 };
        bool is_good = unitext_decode(str_from(cases[i].coded), &plain);
        if (is_good != (cases[i].plain != NULL))
            fail_msg("%s", cases[i].coded);
        if (is_good)
            assert_string_equal(buf_text(&plain), cases[i].plain);
        buf_free(&plain);
    }
    struct buf coded = { 0 };
    unitext_encode(STR("a+b=\xc3\xa4\\ c"), &coded);
    assert_string_equal(buf_text(&coded), "a\\x{2B}b\\x{3D}\xc3\xa4\\x{5C}\\x{20}c");
    buf_free(&coded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_become_addresses_or_are_refused),
        cmocka_unit_test(a_nul_or_an_endless_address_is_refused),
        cmocka_unit_test(parameters_come_one_by_one),
        cmocka_unit_test(normalised_addresses_have_one_spelling),
        cmocka_unit_test(rewriting_completes_addresses_as_trivial_rewrite_does),
        cmocka_unit_test(external_form_quotes_where_needed_and_back),
        cmocka_unit_test(routed_addresses_are_told),
        cmocka_unit_test(domains_are_checked),
        cmocka_unit_test(xtext_goes_there_and_back),
        cmocka_unit_test(unitext_goes_there_and_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
