/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration must have before anybody may connect, and what the restrictions decide. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct refusal {
    const char *main_cf;
    const char *reason; /* part of the error */
};

static void a_policy_that_cannot_be_is_refused_with_its_reason(void **state)
{
    static const struct refusal cases[] = {
        { "smtpd_relay_restrictions =\nsmtpd_recipient_restrictions =\n",
          "specify at least one working instance of: reject_unauth_destination" },
        { "smtpd_relay_restrictions = permit_mynetworks\nsmtpd_recipient_restrictions =\n",
          "specify at least one working instance" },
        /* An earlier permit hides the guard. */
        { "smtpd_relay_restrictions = permit, reject_unauth_destination\n"
          "smtpd_recipient_restrictions = permit_mynetworks, permit, reject\n",
          "specify at least one working instance" },
        { "smtpd_recipient_restrictions = check_ccert_access x, reject\n", "need maptype:mapname" },
        { "smtpd_recipient_restrictions = check_ccert_access { static:x, { search_order = x } }, "
          "reject\n",
          "bad option; need { search_order" },
        { "smtpd_recipient_restrictions = check_relay_domains\n",
          "\"check_relay_domains\" is no longer supported" },
        { "smtpd_recipient_restrictions = reject_rbl_client\n", "requires domain name argument" },
        { "smtpd_recipient_restrictions = check_policy_service unix, reject\n",
          "must be followed by transport:server" },
        { "smtpd_recipient_restrictions = check_client_access reject\n", "need maptype:mapname" },
        { "smtpd_recipient_restrictions = sleep soon, reject\n", "must be followed by number" },
        { "smtpd_recipient_restrictions = reject_unauth_destinations\n",
          "unknown smtpd restriction: \"reject_unauth_destinations\"" },
        { "smtpd_restriction_classes = strangers\n",
          "restriction class `strangers' needs a definition" },
        { "smtpd_client_restrictions = perimt_mynetworks, reject\n",
          "unknown smtpd restriction: \"perimt_mynetworks\"" },
        { "access_map_reject_code = 250\n", "access_map_reject_code" },
        { "mynetworks = 0.0.0.0/0\n", "mynetworks" },
        { "mynetworks = ::/0\n", "mynetworks" },
        { "mynetworks = 192.0.2.0/33\n", "192.0.2.0/33" },
        { "mynetworks = 192.0.2.1/24\n", "192.0.2.1/24" },
        { "mynetworks = /does/not/exist\n", "/does/not/exist" },
        { "reject_code = 250\n", "reject_code" },
        { "relay_domains_reject_code = 200\n", "relay_domains_reject_code" },
        { "smtpd_forbid_bare_newline = maybe\n", "smtpd_forbid_bare_newline" },
        { "inet_interfaces = no.such.host.invalid\n", "inet_interfaces" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error error = { 0 };
        struct world world;
        world_open(&world, "");
        struct policy *policy = world_policy(&world, cases[i].main_cf, &error);
        if (policy != NULL)
            fail_msg("accepted: %s", cases[i].main_cf);
        if (strstr(error.message, cases[i].reason) == NULL)
            fail_msg("%s: %s", cases[i].main_cf, error.message);
        world_close(&world);
    }
}

struct judgement {
    const char *main_cf;
    const char *client;
    const char *recipient;
    unsigned code; /* 0: accepted */
};

static void restrictions_decide_as_in_postfix(void **state)
{
    static const struct judgement cases[] = {
        { "", "127.0.0.1", "x@elsewhere.example", 0 },
        { "", "192.0.2.1", "x@elsewhere.example", 554 },
        { "", "192.0.2.1", "x@localhost", 0 },
        { "", "192.0.2.1", "x@mail.test.example", 0 },
        { "", "192.0.2.1", "x@[127.0.0.1]", 0 },
        { "", "192.0.2.1", "x@[127.0.0.2]", 554 },
        { "", "192.0.2.1", "x%y@localhost", 554 },
        { "allow_untrusted_routing = yes\n", "192.0.2.1", "x%y@localhost", 0 },
        { "relay_domains = a.example\n", "192.0.2.1", "x@b.a.example", 0 },
        { "relay_domains = a.example\nparent_domain_matches_subdomains =\n", "192.0.2.1",
          "x@b.a.example", 554 },
        { "mynetworks = !192.0.2.1 192.0.2.0/24\n", "192.0.2.1", "x@elsewhere.example", 554 },
        { "mynetworks = !192.0.2.1 192.0.2.0/24\n", "192.0.2.2", "x@elsewhere.example", 0 },
        /* permit ends its own list only. */
        { "smtpd_relay_restrictions = permit_mynetworks, reject\n"
          "smtpd_recipient_restrictions = permit\n",
          "192.0.2.1", "x@localhost", 554 },
        { "smtpd_relay_restrictions = permit_mynetworks, defer\n"
          "smtpd_recipient_restrictions = permit\n",
          "192.0.2.1", "x@localhost", 450 },
        { "smtpd_relay_restrictions = permit_mynetworks, defer_unauth_destination\n"
          "smtpd_recipient_restrictions =\n",
          "192.0.2.1", "x@elsewhere.example", 454 },
        { "smtpd_relay_restrictions = permit_auth_destination, reject\n"
          "smtpd_recipient_restrictions =\n",
          "192.0.2.1", "x@localhost", 0 },
        { "smtpd_relay_restrictions = permit_inet_interfaces, reject\n"
          "smtpd_recipient_restrictions =\nmynetworks = 10.0.0.0/8\n",
          "127.0.0.1", "x@elsewhere.example", 0 },
        /* A table that cannot answer is no "no". */
        { "relay_domains = fail:broken\n", "192.0.2.1", "x@elsewhere.example", 451 },
        { "mynetworks = fail:broken\n", "192.0.2.1", "x@elsewhere.example", 451 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world world;
        world_open(&world, cases[i].main_cf);
        struct conversation conversation = { .server = &world.server, .policy = world.policy };
        session_init(&conversation.session, str_from(cases[i].client), 2525);
        struct recipient_question question = { .where = "RCPT",
                                               .as_sent = str_from(cases[i].recipient),
                                               .rewritten = str_from(cases[i].recipient) };
        struct verdict verdict = restrictions_check_recipient(&conversation, &question);
        if (verdict.is_accepted != (cases[i].code == 0) || verdict.code != cases[i].code)
            fail_msg("case %zu: %s from %s: %u %s", i, cases[i].recipient, cases[i].client,
                     verdict.code, verdict.text != NULL ? verdict.text : "");
        buf_free(&conversation.line);
        arena_clear(&conversation.scratch);
        session_clear(&conversation.session);
        world_close(&world);
    }
}

static void commands_of_other_protocols_are_known(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, "smtpd_noop_commands = ONEX, XSTAT\n");
    assert_true(policy_forbids_command(world.policy, STR("GET")));
    assert_true(policy_forbids_command(world.policy, STR("post")));
    assert_true(policy_forbids_command(world.policy, STR("Subject:")));
    assert_true(policy_forbids_command(world.policy, STR("\x16\x03\x01")));
    assert_false(policy_forbids_command(world.policy, STR("HELP")));
    assert_false(policy_forbids_command(world.policy, STR("{{/^[^A-Z]/")) &&
                 policy_forbids_command(world.policy, STR("Bogus")));
    assert_true(policy_ignores_command(world.policy, STR("onex")));
    assert_false(policy_ignores_command(world.policy, STR("HELP")));
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_that_cannot_be_is_refused_with_its_reason),
        cmocka_unit_test(restrictions_decide_as_in_postfix),
        cmocka_unit_test(commands_of_other_protocols_are_known),
    };

    return cmocka_run_group_tests_name("smtpd policy", tests, NULL, NULL);
}
