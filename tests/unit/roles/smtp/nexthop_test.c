/* SPDX-License-Identifier: Apache-2.0 */
#include "ehlo.h"
#include "nexthop.h"
#include "own_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void every_form_is_understood(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
        bool is_bracketed, is_address;
    } cases[] = {
        { "example.com", "example.com", 25, false, false },
        { "example.com:587", "example.com", 587, false, false },
        { "example.com:submission", "example.com", 587, false, false },
        { "[mail.example.com]", "mail.example.com", 25, true, false },
        { "[mail.example.com]:2525", "mail.example.com", 2525, true, false },
        { "[192.0.2.1]", "192.0.2.1", 25, true, true },
        { "[192.0.2.1]:smtps", "192.0.2.1", 465, true, true },
        { "[IPv6:2001:db8::1]:26", "IPv6:2001:db8::1", 26, true, true },
        { "[2001:db8::1]", "2001:db8::1", 25, true, true },
        { "[mail.example.com]:", "mail.example.com", 25, true, false },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct nexthop nexthop;
        struct error error;
        assert_true(nexthop_parse(str_from(cases[i].text), 25, &nexthop, &error));
        assert_true(str_equal(nexthop.host, str_from(cases[i].host)));
        assert_int_equal(nexthop.port, cases[i].port);
        assert_int_equal(nexthop.is_bracketed, cases[i].is_bracketed);
        assert_int_equal(nexthop.is_address, cases[i].is_address);
        if (nexthop.is_address)
            assert_int_equal(net_address_port(&nexthop.address), cases[i].port);
    }
}

static void what_is_no_destination_is_refused(void **state)
{
    static const char *const cases[] = { "[a",    "[a]b",    "[]",
                                         "[a]:0", "a:70000", "a:no-such-port",
                                         ":25",   "a:-1",    "[a]:25x" };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct nexthop nexthop;
        struct error error;
        assert_false(nexthop_parse(str_from(cases[i]), 25, &nexthop, &error));
    }
}

static void lists_are_cut_at_commas_and_blanks(void **state)
{
    struct str list = STR(" [a]:1, b\t,,c ");
    struct str item;

    assert_true(nexthop_cut(&list, &item) && str_equal(item, STR("[a]:1")));
    assert_true(nexthop_cut(&list, &item) && str_equal(item, STR("b")));
    assert_true(nexthop_cut(&list, &item) && str_equal(item, STR("c")));
    assert_false(nexthop_cut(&list, &item));
}

static void offers_are_read_from_the_reply_to_ehlo(void **state)
{
    struct reply reply = { 0 };
    struct offer offer;

    assert_int_equal(reply_add_line(&reply, STR("250-SIZE 99")), REPLY_MORE); /* the name's line */
    assert_int_equal(reply_add_line(&reply, STR("250-pipelining")), REPLY_MORE);
    assert_int_equal(reply_add_line(&reply, STR("250-SIZE 1000")), REPLY_MORE);
    assert_int_equal(reply_add_line(&reply, STR("250-8BITMIME and more")), REPLY_MORE);
    assert_int_equal(reply_add_line(&reply, STR("250-")), REPLY_MORE);
    assert_int_equal(reply_add_line(&reply, STR("250-DSNX")), REPLY_MORE);
    assert_int_equal(reply_add_line(&reply, STR("250 AUTH=PLAIN")), REPLY_COMPLETE);
    ehlo_parse(&reply, STR("8bitmime, x"), &offer);
    assert_int_equal(offer.features,
                     FEATURE_ESMTP | FEATURE_PIPELINING | FEATURE_SIZE | FEATURE_AUTH);
    assert_int_equal(offer.size_limit, 1000);
    reply_clear(&reply);
    assert_int_equal(reply_add_line(&reply, STR("250-x")), REPLY_MORE);
    assert_int_equal(reply_add_line(&reply, STR("250 SIZE 99999999999999999999")), REPLY_COMPLETE);
    ehlo_parse(&reply, STR(""), &offer);
    assert_int_equal(offer.features, FEATURE_ESMTP | FEATURE_SIZE);
    assert_int_equal(offer.size_limit, 0);
    reply_free(&reply);
}

static void own_addresses_come_from_the_configuration(void **state)
{
    autoclear_arena struct arena arena = { 0 };
    struct own_host own;
    struct net_address address;
    struct error error;

    assert_true(own_host_init(&arena, STR("relay.example"), STR("127.0.0.1, 192.0.2.1"),
                              STR("198.51.100.1"), &own, &error));
    assert_true(net_address_parse(STR("198.51.100.1"), 25, &address));
    assert_true(own_host_has_address(&own, &address));
    assert_true(net_address_parse(STR("192.0.2.2"), 25, &address));
    assert_false(own_host_has_address(&own, &address));
    assert_true(own_host_has_name(&own, STR("RELAY.example")));
    assert_true(net_address_parse(STR("192.0.2.1"), 0, &address));
    assert_true(str_equal(net_address_bytes(own_host_single_address(&own, AF_INET)),
                          net_address_bytes(&address)));
    assert_null(own_host_single_address(&own, AF_INET6));
    assert_true(own_host_init(&arena, STR("relay.example"), STR("192.0.2.1 192.0.2.2"), STR(""),
                              &own, &error));
    assert_null(own_host_single_address(&own, AF_INET));
    assert_true(own_host_init(&arena, STR("relay.example"), STR("all"), STR(""), &own, &error));
    assert_true(net_address_parse(STR("127.0.0.1"), 0, &address));
    assert_true(own_host_has_address(&own, &address));
    assert_null(own_host_single_address(&own, AF_INET));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_understood),
        cmocka_unit_test(what_is_no_destination_is_refused),
        cmocka_unit_test(lists_are_cut_at_commas_and_blanks),
        cmocka_unit_test(offers_are_read_from_the_reply_to_ehlo),
        cmocka_unit_test(own_addresses_come_from_the_configuration),
    };

    return cmocka_run_group_tests_name("nexthop", tests, NULL, NULL);
}
