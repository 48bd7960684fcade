/* SPDX-License-Identifier: Apache-2.0 */
#include "net/address.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void text_becomes_an_address_and_back(void **state)
{
    static const struct {
        const char *text, *formatted;
        size_t bytes;
    } cases[] = {
        { "192.0.2.1", "192.0.2.1", 4 },
        { "[192.0.2.1]", "192.0.2.1", 4 },
        { "2001:db8::1", "2001:db8::1", 16 },
        { "2001:DB8:0:0:0:0:0:1", "2001:db8::1", 16 },
        { "[2001:db8::1]", "2001:db8::1", 16 },
        { "IPv6:2001:db8::1", "2001:db8::1", 16 },
        { "[ipv6:2001:db8::1]", "2001:db8::1", 16 },
        { "::ffff:192.0.2.1", "192.0.2.1", 4 },
        { "[IPv6:::ffff:192.0.2.1]", "192.0.2.1", 4 },
        { "::", "::", 16 },
        { "0.0.0.0", "0.0.0.0", 4 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct net_address address;
        autofree_buf struct buf out = { 0 };
        assert_true(net_address_parse(str_from(cases[i].text), 25, &address));
        net_address_format(&address, &out);
        assert_string_equal(buf_text(&out), cases[i].formatted);
        assert_int_equal(net_address_port(&address), 25);
        assert_int_equal(net_address_bytes(&address).len, cases[i].bytes);
    }
}

static void what_is_no_address_is_refused(void **state)
{
    static const struct str cases[] = {
        STR_INIT(""),
        STR_INIT("[]"),
        STR_INIT("["),
        STR_INIT("1.2.3"),
        STR_INIT("1.2.3.4.5"),
        STR_INIT("256.1.1.1"),
        STR_INIT("1.2.3.04x"),
        STR_INIT("1.2.3.4 "),
        STR_INIT(" 1.2.3.4"),
        STR_INIT("1.2.3.4\0"),
        STR_INIT("[1.2.3.4"),
        STR_INIT("1.2.3.4]"),
        STR_INIT("[[1.2.3.4]]"),
        STR_INIT("IPv6:1.2.3.4"),
        STR_INIT("IPv6:"),
        STR_INIT("fe80::1%eth0"),
        STR_INIT(":::"),
        STR_INIT("1:2:3:4:5:6:7:8:9"),
        STR_INIT("localhost"),
        STR_INIT("0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"),
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct net_address address;
        assert_false(net_address_parse(cases[i], 25, &address));
    }
}

static void mapped_address_from_the_kernel_becomes_ipv4(void **state)
{
    struct sockaddr_in6 mapped = { .sin6_family = AF_INET6, .sin6_port = htons(2525) };
    struct net_address address;
    autofree_buf struct buf out = { 0 };

    mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
    memcpy(mapped.sin6_addr.s6_addr + 12, "\x7f\0\0\1", 4);
    net_address_from_sockaddr((const struct sockaddr *)&mapped, sizeof mapped, &address);
    assert_int_equal(address.any.sa_family, AF_INET);
    assert_int_equal(address.len, sizeof address.in4);
    assert_int_equal(net_address_port(&address), 2525);
    net_address_format(&address, &out);
    assert_string_equal(buf_text(&out), "127.0.0.1");
}

static void unix_socket_is_unknown_and_has_no_bytes(void **state)
{
    struct sockaddr_un local = { .sun_family = AF_UNIX };
    struct net_address address;
    autofree_buf struct buf out = { 0 };

    net_address_from_sockaddr((const struct sockaddr *)&local, sizeof local.sun_family, &address);
    net_address_format(&address, &out);
    assert_string_equal(buf_text(&out), "unknown");
    assert_int_equal(net_address_bytes(&address).len, 0);
    assert_int_equal(net_address_port(&address), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_becomes_an_address_and_back),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(mapped_address_from_the_kernel_becomes_ipv4),
        cmocka_unit_test(unix_socket_is_unknown_and_has_no_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
