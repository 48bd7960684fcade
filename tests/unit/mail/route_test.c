/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct route_settings settings_of(const char *relayhost)
{
    return (struct route_settings){
        .myhostname = STR("mx.example.org"),
        .myorigin = STR("mx.example.org"),
        .mydestination = STR("mx.example.org, localhost"),
        .virtual_alias_domains = STR("alias.example"),
        .virtual_mailbox_domains = STR("boxes.example"),
        .relay_domains = STR("relayed.example .sub.example"),
        .parent_domain_matches_subdomains = STR("debug_peer_list,relay_domains"),
        .local_transport = STR("local:$here"),
        .virtual_transport = STR("virtual"),
        .relay_transport = STR("relay"),
        .default_transport = STR("smtp"),
        .relayhost = str_from(relayhost),
        .empty_address_recipient = STR("MAILER-DAEMON"),
        .rewrite = { .may_append_myorigin = true,
                     .may_swap_bangpath = true,
                     .has_percent_hack = true,
                     .myorigin = STR("mx.example.org") },
    };
}

struct expectation {
    const char *relayhost, *recipient, *transport, *nexthop;
    enum address_class address_class;
};

static void each_class_has_its_transport(void **state)
{
    static const struct expectation expectations[] = {
        { "", "a@far.example", "smtp", "far.example", CLASS_DEFAULT },
        { "", "a@[192.0.2.1]", "smtp", "[192.0.2.1]", CLASS_DEFAULT },
        { "[hub.example]:587", "a@far.example", "smtp", "[hub.example]:587", CLASS_DEFAULT },
        { "hub.example:2525", "a@far.example", "smtp", "hub.example:2525", CLASS_DEFAULT },
        { "one.example, [two.example]", "a@far.example", "smtp", "one.example, [two.example]",
          CLASS_DEFAULT },
        { "", "a@relayed.example", "relay", "relayed.example", CLASS_RELAY },
        { "", "a@deep.relayed.example", "relay", "deep.relayed.example", CLASS_RELAY },
        { "hub.example", "a@relayed.example", "relay", "hub.example", CLASS_RELAY },
        { "hub.example", "a@localhost", "local", "$here", CLASS_LOCAL },
        { "hub.example", "a@LOCALHOST", "local", "$here", CLASS_LOCAL },
        { "hub.example", "root", "local", "$here", CLASS_LOCAL },
        { "hub.example", "", "local", "$here", CLASS_LOCAL },
        { "hub.example", "root@", "error", "5.1.3 bad address syntax", CLASS_DEFAULT },
        { "hub.example", "a@boxes.example", "virtual", "boxes.example", CLASS_VIRTUAL },
        { "", "a@alias.example", "error", "5.1.1 User unknown in virtual alias table",
          CLASS_VIRTUAL_ALIAS },
        { "", "\"a@b\"@far.example", "smtp", "far.example", CLASS_DEFAULT },
    };

    (void)state;
    for (size_t i = 0; i < sizeof expectations / sizeof expectations[0]; i++) {
        const struct expectation *expected = &expectations[i];
        struct route_settings settings = settings_of(expected->relayhost);
        struct error error = { 0 };
        struct arena arena = { 0 };
        struct route route;
        struct router *router = router_new(&settings, NULL, NULL, NULL, &error);
        assert_non_null(router);
        assert_true(
            router_find(router, &arena, STR(""), str_from(expected->recipient), &route, &error));
        assert_int_equal(route.address_class, expected->address_class);
        assert_true(str_equal(route.transport, str_from(expected->transport)));
        assert_true(str_equal(route.nexthop, str_from(expected->nexthop)));
        router_free(&router);
        arena_clear(&arena);
    }
}

static void default_transport_may_name_the_next_hop(void **state)
{
    struct route_settings settings = settings_of("hub.example");
    struct error error = { 0 };
    struct arena arena = { 0 };
    struct route route;

    (void)state;
    settings.default_transport = STR(" lmtp : [inside.example]:24 ");
    struct router *router = router_new(&settings, NULL, NULL, NULL, &error);
    assert_non_null(router);
    assert_true(router_find(router, &arena, STR(""), STR("a@far.example"), &route, &error));
    assert_true(str_equal(route.nexthop, STR("[inside.example]:24")));
    router_free(&router);
    arena_clear(&arena);
}

static void own_addresses_are_local(void **state)
{
    static const struct {
        const char *recipient;
        enum address_class address_class;
    } cases[] = {
        { "a@[127.0.0.1]", CLASS_LOCAL },  { "a@[IPv6:::1]", CLASS_LOCAL },
        { "a@[192.0.2.77]", CLASS_LOCAL }, { "a@[192.0.2.78]", CLASS_DEFAULT },
        { "a@[]", CLASS_DEFAULT },         { "a@[", CLASS_DEFAULT },
    };
    struct route_settings settings = settings_of("");
    struct error error = { 0 };
    struct own_addresses *own = own_addresses_new(STR("loopback-only"), STR("192.0.2.77"), &error);

    (void)state;
    assert_non_null(own);
    settings.own_addresses = own;
    struct router *router = router_new(&settings, NULL, NULL, NULL, &error);
    assert_non_null(router);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena arena = { 0 };
        struct route route;
        assert_true(
            router_find(router, &arena, STR(""), str_from(cases[i].recipient), &route, &error));
        assert_int_equal(route.address_class, cases[i].address_class);
        arena_clear(&arena);
    }
    router_free(&router);
    own_addresses_free(&own);
}

static void bad_list_is_named(void **state)
{
    struct route_settings settings = settings_of("");
    struct error error = { 0 };

    (void)state;
    settings.mydestination = STR("/does/not/exist");
    assert_null(router_new(&settings, NULL, NULL, NULL, &error));
    assert_non_null(strstr(error.message, "mydestination"));
}

static void lists_that_are_out_of_reach_are_taken_over(void **state)
{
    char path[] = "/tmp/route-test-XXXXXX";
    char text[64];
    struct route_settings settings = settings_of("");
    struct error error = { 0 };
    struct arena arena = { 0 };
    struct route route;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "listed.example\n", 15), 15);
    close(fd);
    snprintf(text, sizeof text, "localhost %s", path);
    settings.mydestination = str_from(text);
    struct router *old = router_new(&settings, NULL, NULL, NULL, &error);
    assert_non_null(old);
    unlink(path);
    settings.relayhost = STR("hub.example");
    struct router *router = router_new(&settings, old, NULL, NULL, &error);
    assert_non_null(router);
    router_free(&old);
    assert_true(router_find(router, &arena, STR(""), STR("a@listed.example"), &route, &error));
    assert_int_equal(route.address_class, CLASS_LOCAL);
    assert_true(router_find(router, &arena, STR(""), STR("a@far.example"), &route, &error));
    assert_true(str_equal(route.nexthop, STR("hub.example")));
    /* Set to something else, it must be read; the old one goes on. */
    settings.mydestination = STR("/does/not/exist");
    assert_null(router_new(&settings, router, NULL, NULL, &error));
    assert_true(router_find(router, &arena, STR(""), STR("a@listed.example"), &route, &error));
    assert_int_equal(route.address_class, CLASS_LOCAL);
    router_free(&router);
    arena_clear(&arena);
}

/* Observed on Debian's Postfix; tests/differential compares many more. */
struct override {
    const char *sender, *recipient, *transport, *nexthop;
};

static void expect_routes(struct route_settings *settings, const struct override *overrides,
                          size_t count)
{
    struct error error = { 0 };
    struct router *router = router_new(settings, NULL, NULL, NULL, &error);

    assert_non_null(router);
    for (size_t i = 0; i < count; i++) {
        autoclear_arena struct arena arena = { 0 };
        struct route route;
        assert_true(router_find(router, &arena, str_from(overrides[i].sender),
                                str_from(overrides[i].recipient), &route, &error));
        if (!str_equal(route.transport, str_from(overrides[i].transport)) ||
            !str_equal(route.nexthop, str_from(overrides[i].nexthop)))
            fail_msg("%s: %.*s %.*s", overrides[i].recipient, STR_ARGS(route.transport),
                     STR_ARGS(route.nexthop));
    }
    router_free(&router);
}

static void transport_maps_override_in_their_order(void **state)
{
    static const struct override overrides[] = {
        { "", "a@x.example", "t1", "x.example" },
        { "", "A+E@X.example", "t2", "X.example" },
        { "", "a+f@x.example", "t1", "x.example" },
        { "", "c@x.example", "t3", "x.example" },
        { "", "u@p.example", "t5", "p.example" },
        { "", "u@r.q.p.example", "t4", "[h]:25" },
        { "", "user", "t6", "mx.example.org" },
        { "", "u@keeps.example", "smtp", "hub.example" },
        { "", "u@hop.example", "smtp", "[hop]" },
        { "", "u@no.example", "error", "5.7.1 no way" },
        { "", "u@void.example", "error", "Address is undeliverable" },
        { "", "u@list.example", "smtp", "[a.b], [c.d]:26" },
        { "", "u@alias.example", "error", "5.1.1 User unknown in virtual alias table" },
        { "", "u@boxes.example", "virtual", "[b]" },
        { "", "u@localhost", "star", "localhost" }, /* "*" takes local mail too */
        { "s@b.example", "u@far.example", "star", "far.example" },
        { "", "u%hop.example@localhost", "smtp", "[hop]" },
        { "", "hop.example!u@localhost", "smtp", "[hop]" },
    };
    struct route_settings settings = settings_of("hub.example");

    (void)state;
    settings.recipient_delimiter = STR("+-");
    settings.sender_dependent_default_transport_maps = STR("inline:{ @b.example=lost: }");
    settings.transport_maps =
        STR("inline:{ {a@x.example=t1:}, {a+e@x.example=t2:}, {x.example=t3:}, "
            "{.p.example=t4:[h]:25}, {p.example=t5}, {user@mx.example.org=t6:}, "
            "{keeps.example=:}, {hop.example=:[hop]}, {no.example=error:5.7.1 no way}, "
            "{void.example=error}, {list.example=smtp:[a.b], [c.d]:26}, {*=star:}, "
            "{alias.example=lost:}, {boxes.example=:[b]} }");
    expect_routes(&settings, overrides, sizeof overrides / sizeof overrides[0]);
}

static void senders_choose_transport_and_relayhost(void **state)
{
    static const struct override overrides[] = {
        { "", "u@far.example", "st0", "[null]" },
        { "", "u@relayed.example", "relay", "[null]" },
        { "", "u@localhost", "local", "$here" },
        { "s@a.example", "u@far.example", "st1", "[srh]:1" },
        { "s+f@A.example", "u@far.example", "st1", "[srh]:1" },
        { "s@b.example", "u@far.example", "st2", "[n]" },
        { "s@b.example", "u@relayed.example", "relay", "[srhb]" },
        { "s@d.example", "u@far.example", "smtp", "hub.example" }, /* DUNNO */
        { "s@c.example", "u@far.example", "smtp", "hub.example" },
        { "s@g.example", "u@far.example", "error", "5.7.1 go away" },
    };
    struct route_settings settings = settings_of("hub.example");

    (void)state;
    settings.recipient_delimiter = STR("+");
    settings.empty_sender_transport_key = settings.empty_sender_relayhost_key = STR("<>");
    settings.sender_dependent_default_transport_maps =
        STR("inline:{ {s@a.example=st1}, {@b.example=st2:[n]}, {c.example=st3}, "
            "{@d.example=DUNNO}, {<>=st0}, {@g.example=error:5.7.1 go away} }");
    settings.sender_dependent_relayhost_maps =
        STR("inline:{ {s@a.example=[srh]:1}, {@b.example=[srhb]}, {@d.example=dunno}, "
            "{<>=[null]} }");
    expect_routes(&settings, overrides, sizeof overrides / sizeof overrides[0]);
}

static void relocated_users_are_bounced_last(void **state)
{
    static const struct override overrides[] = {
        { "", "a@x.example", "error", "5.1.6 User has moved to new@z.example" },
        { "", "luser+x@localhost", "error", "5.1.6 User has moved to nowhere" },
        { "", "b@x.example", "star", "x.example" },
    };
    struct route_settings settings = settings_of("");

    (void)state;
    settings.recipient_delimiter = STR("+");
    settings.has_relocated_prefix = true;
    settings.transport_maps = STR("inline:{ *=star }");
    settings.relocated_maps = STR("inline:{ a@x.example=new@z.example, luser=nowhere }");
    expect_routes(&settings, overrides, sizeof overrides / sizeof overrides[0]);
}

/* The tutorial's contradiction 3: a table that is not there is not "no match". */
static void table_that_cannot_answer_gives_no_route(void **state)
{
    struct error error = { 0 };

    (void)state;
    for (int i = 0; i < 4; i++) {
        autoclear_arena struct arena arena = { 0 };
        struct route route;
        struct route_settings settings = settings_of("");
        struct str *const parameters[] = { &settings.transport_maps, &settings.relocated_maps,
                                           &settings.sender_dependent_default_transport_maps,
                                           &settings.sender_dependent_relayhost_maps };
        *parameters[i] = STR("hash:/does/not/exist");
        struct router *router = router_new(&settings, NULL, NULL, NULL, &error);
        assert_non_null(router);
        assert_false(
            router_find(router, &arena, STR("s@a.example"), STR("a@far.example"), &route, &error));
        assert_non_null(strstr(error.message, "lookup failure"));
        router_free(&router);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_class_has_its_transport),
        cmocka_unit_test(default_transport_may_name_the_next_hop),
        cmocka_unit_test(own_addresses_are_local),
        cmocka_unit_test(transport_maps_override_in_their_order),
        cmocka_unit_test(senders_choose_transport_and_relayhost),
        cmocka_unit_test(relocated_users_are_bounced_last),
        cmocka_unit_test(table_that_cannot_answer_gives_no_route),
        cmocka_unit_test(bad_list_is_named),
        cmocka_unit_test(lists_that_are_out_of_reach_are_taken_over),
    };
    return cmocka_run_group_tests_name("mail/route", tests, NULL, NULL);
}
