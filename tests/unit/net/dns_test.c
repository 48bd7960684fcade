/* SPDX-License-Identifier: Apache-2.0 */
#include "net/dns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void records_survive_the_way(void **state)
{
    autoclear_arena struct arena arena = { 0 };
    autofree_buf struct buf bytes = { 0 };
    struct dns_answer answer;
    const struct dns_record records[] = {
        { .preference = 10, .name = STR("mx.example.com"), .data = STR("") },
        { .preference = 0, .name = STR(""), .data = STR("") },
        { .preference = 1, .weight = 2, .port = 65535, .name = STR("a"), .data = STR("\0\1\2") },
    };

    dns_records_encode(records, COUNT(records), &bytes);
    assert_true(dns_records_decode(&arena, buf_str(&bytes), &answer));
    assert_int_equal(answer.record_count, COUNT(records));
    for (size_t i = 0; i < COUNT(records); i++) {
        assert_int_equal(answer.records[i].preference, records[i].preference);
        assert_int_equal(answer.records[i].weight, records[i].weight);
        assert_int_equal(answer.records[i].port, records[i].port);
        assert_true(str_equal(answer.records[i].name, records[i].name));
        assert_true(str_equal(answer.records[i].data, records[i].data));
    }
    /* Every prefix is whole records or refused. */
    for (size_t len = 0; len < bytes.len; len++) {
        bool is_whole = dns_records_decode(&arena, str_take(buf_str(&bytes), len), &answer);
        assert_true(!is_whole || answer.record_count < COUNT(records));
    }
}

static void too_many_records_are_refused(void **state)
{
    autoclear_arena struct arena arena = { 0 };
    autofree_buf struct buf bytes = { 0 };
    struct dns_record record = { .name = STR("a"), .data = STR("") };
    struct dns_answer answer;

    for (int i = 0; i < DNS_RECORDS_MAX; i++)
        dns_records_encode(&record, 1, &bytes);
    assert_true(dns_records_decode(&arena, buf_str(&bytes), &answer));
    dns_records_encode(&record, 1, &bytes);
    assert_false(dns_records_decode(&arena, buf_str(&bytes), &answer));
}

static void rdata_is_read_or_refused(void **state)
{
    static const struct {
        enum dns_type type;
        struct str rdata;
        bool is_fine;
        const char *name;
        uint16_t preference;
        struct str data;
    } cases[] = {
        { DNS_A, STR_INIT("\x7f\0\0\1"), true, "", 0, STR_INIT("\x7f\0\0\1") },
        { DNS_A, STR_INIT("\x7f\0\0"), false, "", 0, STR_INIT("") },
        { DNS_A, STR_INIT(""), false, "", 0, STR_INIT("") },
        { DNS_AAAA, STR_INIT("0123456789abcdef"), true, "", 0, STR_INIT("0123456789abcdef") },
        { DNS_AAAA, STR_INIT("\x7f\0\0\1"), false, "", 0, STR_INIT("") },
        { DNS_MX, STR_INIT("\0\x0a\2mx\7example\0"), true, "mx.example", 10, STR_INIT("") },
        { DNS_MX, STR_INIT("\0\0\0"), true, "", 0, STR_INIT("") },
        { DNS_MX, STR_INIT(""), false, "", 0, STR_INIT("") },
        { DNS_MX, STR_INIT("\0"), false, "", 0, STR_INIT("") },
        { DNS_MX, STR_INIT("\0\1"), false, "", 0, STR_INIT("") },
        { DNS_MX, STR_INIT("\0\1\3ab"), false, "", 0, STR_INIT("") },
        { DNS_MX, STR_INIT("\0\1\3abc"), false, "", 0, STR_INIT("") },
        { DNS_MX, STR_INIT("\0\1\xc0\x0c"), false, "", 0, STR_INIT("") },
        { DNS_MX, STR_INIT("\0\1\1a\0more"), false, "", 0, STR_INIT("") },
        { DNS_MX, STR_INIT("\0\1\5x\r\n55\0"), false, "", 0, STR_INIT("") },
        { DNS_MX, STR_INIT("\0\1\3a.b\0"), false, "", 0, STR_INIT("") },
        { DNS_MX, STR_INIT("\0\1\3a b\0"), false, "", 0, STR_INIT("") },
        { DNS_MX, STR_INIT("\0\1\1\xff\0"), false, "", 0, STR_INIT("") },
        { DNS_PTR, STR_INIT("\4host\7example\0"), true, "host.example", 0, STR_INIT("") },
        { DNS_PTR, STR_INIT("\0"), false, "", 0, STR_INIT("") },
        { DNS_NS, STR_INIT("\4host\7example\0"), true, "host.example", 0, STR_INIT("") },
        { DNS_SRV, STR_INIT("\0\1\0\2\0\x19\1a\0"), true, "a", 1, STR_INIT("") },
        { DNS_SRV, STR_INIT("\0\1\0\2\0\x19"), false, "", 0, STR_INIT("") },
        { DNS_TXT, STR_INIT("\2ab\0\3c\0d"), true, "", 0, STR_INIT("abc\0d") },
        { DNS_TXT, STR_INIT("\2a"), false, "", 0, STR_INIT("") },
        { DNS_TLSA, STR_INIT("\3\1\1x"), true, "", 0, STR_INIT("\3\1\1x") },
        { DNS_TLSA, STR_INIT("\3\1"), true, "", 0, STR_INIT("\3\1") },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        autoclear_arena struct arena arena = { 0 };
        struct dns_record record;
        assert_int_equal(dns_rdata_parse(&arena, cases[i].type, cases[i].rdata, &record),
                         cases[i].is_fine);
        if (!cases[i].is_fine)
            continue;
        assert_true(str_equal(record.name, str_from(cases[i].name)));
        assert_int_equal(record.preference, cases[i].preference);
        assert_true(str_equal(record.data, cases[i].data));
    }
}

static void names_of_legal_form_are_asked(void **state)
{
    char text[300];
    static const struct {
        const char *name;
        bool is_valid;
    } cases[] = {
        { "example.com", true },
        { "example.com.", true },
        { "_dmarc.example.com", true },
        { "a", true },
        { "1.2.0.192.in-addr.arpa", true },
        { "xn--bcher-kva.example", true },
        { "", false },
        { ".", false },
        { "a..b", false },
        { ".a", false },
        { "a b", false },
        { "a@b", false },
        { "a\\b", false },
        { "a\xff"
          "b",
          false },
        { "a..", false },
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(dns_name_is_valid(str_from(cases[i].name)), cases[i].is_valid);
    memset(text, 'a', sizeof text);
    assert_true(dns_name_is_valid(str_of(text, 63)));
    assert_false(dns_name_is_valid(str_of(text, 64)));
    for (int i = 60; i < 300; i += 60)
        text[i] = '.';
    assert_true(dns_name_is_valid(str_of(text, 253)));
    assert_false(dns_name_is_valid(str_of(text, 254)));
    assert_false(dns_name_is_valid(STR("a\0b")));
}

static void addresses_turn_round(void **state)
{
    static const struct {
        const char *address, *name;
    } cases[] = {
        { "192.0.2.1", "1.2.0.192.in-addr.arpa" },
        { "2001:db8::1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2."
                         "ip6.arpa" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        autofree_buf struct buf name = { 0 };
        struct net_address address, again;
        assert_true(net_address_parse(str_from(cases[i].address), 25, &address));
        assert_true(dns_reverse_name(&address, &name));
        assert_string_equal(buf_text(&name), cases[i].name);
        struct dns_record record = { .data = net_address_bytes(&address) };
        assert_true(dns_record_address(&record, 25, &again));
        assert_true(str_equal(net_address_bytes(&again), net_address_bytes(&address)));
        assert_int_equal(net_address_port(&again), 25);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_survive_the_way),  cmocka_unit_test(too_many_records_are_refused),
        cmocka_unit_test(rdata_is_read_or_refused), cmocka_unit_test(names_of_legal_form_are_asked),
        cmocka_unit_test(addresses_turn_round),
    };

    return cmocka_run_group_tests_name("dns", tests, NULL, NULL);
}
