/* SPDX-License-Identifier: Apache-2.0 */
#include "name_search.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void resolv_conf_says_which_domains(void **state)
{
    static const struct {
        const char *text, *host, *domains;
        uint64_t dots;
    } cases[] = {
        { "", "mail.example.com", "example.com", 1 },
        { "", "mail", "", 1 },
        { "nameserver 127.0.0.1\nsearch a.test b.test.\n", "mail.example.com", "a.test b.test", 1 },
        { "search a.test\ndomain b.test c.test\n", "mail.example.com", "b.test", 1 },
        { "domain b.test\nsearch a.test  c.test", "mail", "a.test c.test", 1 },
        { "options timeout:1 ndots:3 edns0\nsearch x.test", "mail", "x.test", 3 },
        { "options ndots:99", "mail", "", 15 },
        { "options ndots:-1", "mail", "", 1 },
        { "search a_.test bad\x01name.test", "mail", "a_.test", 1 },
        { "#search a.test", "mail", "", 1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        autoclear_arena struct arena arena = { 0 };
        autofree_buf struct buf list = { 0 };
        struct search_domains domains;
        search_domains_parse(&arena, str_from(cases[i].text), str_from(cases[i].host), &domains);
        for (size_t at = 0; at < domains.count; at++)
            buf_printf(&list, "%s%.*s", at > 0 ? " " : "", STR_ARGS(domains.items[at]));
        buf_append(&list, STR("")); /* ends it with a NUL also where it is empty */
        assert_string_equal(buf_text(&list), cases[i].domains);
        assert_int_equal(domains.dots, cases[i].dots);
    }
}

static void names_are_tried_in_the_resolver_s_order(void **state)
{
    static const struct {
        const char *options, *name, *list;
        size_t as_is;
        uint64_t dots;
    } cases[] = {
        { "", "host", "host", 0, 1 },
        { "", "a.b", "a.b", 0, 1 },
        { "res_defnames", "host", "host.x.test host", 1, 1 },
        { "res_defnames", "a.b", "a.b", 0, 1 },
        { "res_dnsrch", "host", "host", 0, 1 },
        { "res_dnsrch", "a.b", "a.b a.b.x.test a.b.y.test", 0, 1 },
        { "res_dnsrch", "a.b", "a.b.x.test a.b.y.test a.b", 2, 2 },
        { "res_defnames, res_dnsrch", "host", "host.x.test host.y.test host", 2, 1 },
        { "res_defnames", "host", "host host.x.test", 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        autoclear_arena struct arena arena = { 0 };
        autofree_buf struct buf list = { 0 };
        struct search_domains domains;
        struct search_names names;
        struct error error;
        unsigned bits;
        assert_true(name_search_parse(str_from(cases[i].options), &bits, &error));
        search_domains_parse(&arena, STR("search x.test y.test"), STR("mail"), &domains);
        domains.dots = cases[i].dots;
        name_search_list(&arena, &domains, bits, str_from(cases[i].name), &names);
        for (size_t at = 0; at < names.count; at++)
            buf_printf(&list, "%s%.*s", at > 0 ? " " : "", STR_ARGS(names.items[at]));
        assert_string_equal(buf_text(&list), cases[i].list);
        assert_int_equal(names.as_is, cases[i].as_is);
    }
}

static void unknown_options_are_refused(void **state)
{
    struct error error;
    unsigned bits;

    (void)state;
    assert_false(name_search_parse(STR("res_defnames RES_DNSRCH"), &bits, &error));
    assert_false(name_search_parse(STR("none"), &bits, &error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resolv_conf_says_which_domains),
        cmocka_unit_test(names_are_tried_in_the_resolver_s_order),
        cmocka_unit_test(unknown_options_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
