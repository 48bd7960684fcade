/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include "config/check.h"
#include "config/manual.h"
#include "config/parameter.h"
#include "config/value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const char master_text[] = "smtp inet n - n - - smtpd\n"
                                  "  -o smtpd_timeout=7m\n"
                                  "qq unix - - n - - smtp\n";

static void keep_warning(void *argument, const char *text)
{
    buf_printf(argument, "%s\n", text);
}

static void read_source(const char *main_text, struct config_source *source)
{
    struct error error = { 0 };

    if (!config_source_parse("/etc/test", str_from(main_text), str_from(master_text), source,
                             &error))
        fail_msg("%s", error.message);
}

/* A configuration of that main.cf alone; NULL with the error. */
static struct config *make(const char *main_text, struct config_source *source,
                           struct buf *warnings, struct error *error)
{
    read_source(main_text, source);
    return config_new(source, NULL, warnings != NULL ? keep_warning : NULL, warnings, error);
}

static void defaults_are_those_of_compatibility_level_zero(void **state)
{
    struct config_source source;
    struct error error = { 0 };
    struct config *config = make("myhostname = mx.example.com\n", &source, NULL, &error);

    assert_non_null(config);
    assert_true(config->append_dot_mydomain);
    assert_false(config->smtputf8_enable);
    assert_true(str_equal(config->mydomain, STR("example.com")));
    assert_true(
        str_equal(config->mydestination, STR("mx.example.com, localhost.example.com, localhost")));
    assert_true(str_equal(config->relay_domains, config->mydestination));
    assert_true(str_equal(config->smtpd_banner, STR("mx.example.com ESMTP Postfix")));
    assert_true(str_equal(config->config_directory, STR("/etc/test")));
    assert_int_equal(config->smtpd_timeout, 300);
    assert_int_equal(config->maximal_queue_lifetime, 5 * 24 * 60 * 60);
    assert_int_equal(config->message_size_limit, 10240000);
    config_free(&config);
    config_source_free(&source);
}

static void times_have_the_unit_of_their_default(void **state)
{
    struct config_source source;
    struct error error = { 0 };
    struct config *config = make("maximal_queue_lifetime = 2\nsmtp_connect_timeout = 2\n"
                                 "delay_warning_time = 2\nbounce_queue_lifetime = 12h\n",
                                 &source, NULL, &error);

    assert_non_null(config);
    assert_int_equal(config->maximal_queue_lifetime, 2 * 24 * 60 * 60);
    assert_int_equal(config->smtp_connect_timeout, 2);
    assert_int_equal(config->delay_warning_time, 2 * 60 * 60);
    assert_int_equal(config->bounce_queue_lifetime, 12 * 60 * 60);
    config_free(&config);
    config_source_free(&source);
}

static void overrides_of_a_service_hold_for_it_alone(void **state)
{
    struct config_source source;
    struct error error = { 0 };

    read_source("smtpd_timeout = 5\n", &source);
    struct config *all = config_new(&source, NULL, NULL, NULL, &error);
    struct config *one = config_new(
        &source, master_cf_find(&source.master_cf, STR("smtp"), SERVICE_INET), NULL, NULL, &error);
    assert_int_equal(all->smtpd_timeout, 5);
    assert_int_equal(one->smtpd_timeout, 7 * 60);
    assert_true(str_equal(one->service_name, STR("smtp")));
    assert_true(str_equal(one->process_name, STR("smtpd")));
    config_free(&all);
    config_free(&one);
    config_source_free(&source);
}

static void bad_values_are_errors_with_place_and_range(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        { "\nsmtpd_timeout = 20x\n", "units" },
        { "\nsmtpd_timeout = 1 s\n", "units" },
        { "\nsmtpd_timeout =\n", "units" },
        { "\nsmtpd_timeout = -1\n", "units" },
        { "\nsmtpd_timeout = 99999999999s\n", "units" },
        { "\nsmtpd_recipient_limit = -1\n", "from 1 to 2147483647" },
        { "\nsmtpd_recipient_limit = 0x10\n", "from 1 to" },
        { "\nsmtpd_recipient_limit = 1x\n", "from 1 to" },
        { "\nsmtpd_recipient_limit =\n", "from 1 to" },
        { "\nsmtpd_recipient_limit = 99999999999\n", "from 1 to" },
        { "\nmessage_size_limit = 10M\n", "from 0 to" },
        { "\nbiff = maybe\n", "neither yes nor no" },
        { "\nbiff =\n", "neither yes nor no" },
        { "\nmyorigin = $myorigin\n", "refers to itself" },
        { "\nmyorigin = ${x\n", "does not end" },
        { "\nmynetworks_style = all\n", "host, subnet or class" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config_source source;
        struct error error = { 0 };
        assert_null(make(cases[i].text, &source, NULL, &error));
        if (strstr(error.message, cases[i].message) == NULL ||
            (strstr(error.message, "/etc/test/main.cf, line 2") == NULL && i < 15))
            fail_msg("%s", error.message);
        config_source_free(&source);
    }
}

static void comment_behind_a_number_is_left_out_with_a_warning(void **state)
{
    autofree_buf struct buf warnings = { 0 };
    struct config_source source;
    struct error error = { 0 };
    struct config *config = make("smtpd_tls_loglevel = 1 # be more verbose\nbiff = no # x\n"
                                 "smtpd_timeout = 5s # x\nmyorigin = a # b\n",
                                 &source, &warnings, &error);

    assert_non_null(config);
    assert_true(str_equal(config->smtpd_tls_loglevel, STR("1")));
    assert_false(config->biff);
    assert_int_equal(config->smtpd_timeout, 5);
    assert_true(str_equal(config->myorigin, STR("a # b")));
    assert_non_null(strstr(buf_text(&warnings), "/etc/test/main.cf, line 1: smtpd_tls_loglevel"));
    assert_null(strstr(buf_text(&warnings), "myorigin"));
    config_free(&config);
    config_source_free(&source);
}

static void transports_have_their_own_values_or_the_common_ones(void **state)
{
    struct config_source source;
    struct error error = { 0 };
    struct config *config = make("qq_destination_rate_delay = 10s\n"
                                 "default_destination_concurrency_limit = 9\n"
                                 "qq_destination_recipient_limit = $nine\nnine = 9\n"
                                 "other_destination_recipient_limit = x\n",
                                 &source, NULL, &error);
    int64_t number;
    struct str text;

    assert_non_null(config);
    assert_true(
        config_transport_number(config, STR("qq"), "destination_rate_delay", &number, &error));
    assert_int_equal(number, 10);
    assert_true(config_transport_number(config, STR("qq"), "destination_concurrency_limit", &number,
                                        &error));
    assert_int_equal(number, 9);
    assert_true(
        config_transport_number(config, STR("qq"), "destination_recipient_limit", &number, &error));
    assert_int_equal(number, 9);
    assert_true(config_transport_number(config, STR("none"), "initial_destination_concurrency",
                                        &number, &error));
    assert_int_equal(number, 5);
    assert_false(config_transport_number(config, STR("other"), "destination_recipient_limit",
                                         &number, &error));
    assert_non_null(strstr(error.message, "other_destination_recipient_limit"));
    assert_false(config_transport_number(config, STR("qq"), "no_such_thing", &number, &error));
    assert_true(config_transport_text(config, STR("qq"),
                                      "destination_concurrency_negative_feedback", &text, &error));
    assert_true(str_equal(text, STR("1")));
    config_free(&config);
    config_source_free(&source);
}

static void any_name_is_found_expanded(void **state)
{
    struct config_source source;
    struct error error = { 0 };
    struct config *config = make("mua_list = permit $inner\ninner = x\n", &source, NULL, &error);
    struct str value;

    assert_true(config_find(config, STR("mua_list"), &value));
    assert_true(str_equal(value, STR("permit x")));
    assert_true(config_find(config, STR("2bounce_notice_recipient"), &value));
    assert_true(str_equal(value, STR("postmaster")));
    assert_true(config_find(config, STR("qq_destination_recipient_limit"), &value));
    assert_true(str_equal(value, STR("50")));
    assert_false(config_find(config, STR("nobody_knows"), &value));
    config_free(&config);
    config_source_free(&source);
}

static void copy_for_roles_says_the_same(void **state)
{
    autofree_buf struct buf bytes = { 0 };
    struct config_source source, copy;
    struct error error = { 0 };
    struct config *config = make("myorigin = a\n b\n", &source, NULL, &error);

    config_source_save(&source, &bytes);
    for (size_t len = 0; len < bytes.len; len++)
        assert_false(config_source_load(str_take(buf_str(&bytes), len), &copy, &error));
    assert_true(config_source_load(buf_str(&bytes), &copy, &error));
    struct config *other = config_new(&copy, NULL, NULL, NULL, &error);
    assert_true(str_equal(config->myorigin, other->myorigin));
    assert_true(str_equal(config->mynetworks, other->mynetworks));
    assert_true(str_equal(config->myhostname, other->myhostname));
    assert_int_equal(source.master_cf.count, copy.master_cf.count);
    config_free(&config);
    config_free(&other);
    config_source_free(&source);
    config_source_free(&copy);
}

static void warnings_name_what_will_not_do_what_is_expected(void **state)
{
    static const struct {
        const char *text, *warning; /* NULL: none */
    } cases[] = {
        { "smptd_timeout = 3\n", "unused parameter: smptd_timeout=3 (line 1; did you mean "
                                 "smtpd_timeout?)" },
        { "zzz = 1\n", "unused parameter: zzz=1 (line 1)" },
        { "zzz = 1\nmyorigin = $zzz\n", NULL },
        { "zzz = 1\nmyorigin = ${zzz?x}\n", NULL },
        { "smtpd_restriction_classes = zzz\nzzz = permit\n", NULL },
        { "qq_destination_rate_delay = 3\n", NULL },
        { "nn_destination_rate_delay = 3\n", "unused parameter: nn_destination_rate_delay" },
        { "smtpd_milter_maps = proxy:mysql:zz\nzz_hosts = 3\n", "smtpd_milter_maps is set" },
        { "fallback_relay = x\n", "it is now called smtp_fallback_relay" },
        { "sender_transport_maps = x\n", "use sender_dependent_default_transport_maps" },
        { "myorigin = a\nmyorigin = b\n", "line 1: myorigin is set again in line 2" },
        { "  a = b\n", "line 1: ignored" },
        { "milter_protocol = 5\n", "milter_protocol is set, but not honoured yet" },
        { "milter_protocol = 6\n", NULL },
        { "in_flow_delay = 5\n", "in_flow_delay is set, but has no use in Waypost" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        autofree_buf struct buf warnings = { 0 };
        struct config_source source;
        read_source(cases[i].text, &source);
        config_check_names(&source, keep_warning, &warnings);
        if (cases[i].warning != NULL ? strstr(buf_text(&warnings), cases[i].warning) == NULL
                                     : warnings.len > 0)
            fail_msg("%s: %s", cases[i].text, buf_text(&warnings));
        config_source_free(&source);
    }
}

static void services_that_will_not_do_what_is_expected_are_warned_about(void **state)
{
    autofree_buf struct buf warnings = { 0 };
    struct config_source source;
    struct error error = { 0 };

    assert_true(config_source_parse("/etc", STR(""),
                                    STR("a unix - - n - - smtp -o queue_directory=/x\n"
                                        "a unix - - n - - smtp\n"
                                        "25 inet n - n - - postscreen\nb unix - - n - - smptd\n"),
                                    &source, &error));
    config_check_names(&source, keep_warning, &warnings);
    assert_non_null(strstr(buf_text(&warnings), "-o queue_directory has no effect"));
    assert_non_null(strstr(buf_text(&warnings), "line 1: service a unix is there again in line 2"));
    assert_non_null(strstr(buf_text(&warnings), "line 3: nothing listens on 25"));
    assert_non_null(strstr(buf_text(&warnings), "line 4: service b: there is no program"));
    config_source_free(&source);
}

static void own_networks_follow_the_style(void **state)
{
    static const struct {
        const char *style, *interfaces, *protocols, *networks;
    } cases[] = {
        { "subnet", "all", "all", "127.0.0.0/8 192.0.2.0/25 [2001:db8::]/64 [::1]/128" },
        { "host", "all", "all", "127.0.0.1/32 192.0.2.9/32 [2001:db8::9]/128 [::1]/128" },
        { "class", "all", "ipv4", "127.0.0.0/8 192.0.2.0/24" },
        { "subnet", "loopback-only", "all", "127.0.0.0/8 [::1]/128" },
        { "subnet", "192.0.2.9", "all", "192.0.2.0/25" },
        { "subnet", "[2001:db8::9], 127.0.0.1", "all", "127.0.0.0/8 [2001:db8::]/64" },
        { "subnet", "all", "ipv6", "[2001:db8::]/64 [::1]/128" },
        { "subnet", "192.0.2.77", "all", "" },
    };
    struct arena arena = { 0 };
    struct machine machine;

    assert_true(machine_load(&arena,
                             STR("host\n2001:db8::9/64\n127.0.0.1/8\n192.0.2.9/25\n192.0.2.9/25\n"
                                 "::1/128\n"),
                             &machine));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        autofree_buf struct buf out = { 0 };
        struct error error = { 0 };
        const struct network_choice choice = { str_from(cases[i].style),
                                               str_from(cases[i].interfaces),
                                               str_from(cases[i].protocols) };
        assert_true(machine_networks(&machine, &choice, &out, &error));
        assert_string_equal(buf_text(&out), cases[i].networks);
    }
    assert_false(machine_load(&arena, STR("host\n192.0.2.9/33\n"), &machine));
    assert_false(machine_load(&arena, STR("host\nnonsense\n"), &machine));
    arena_clear(&arena);
}

static void missing_and_odd_files_are_errors_that_name_them(void **state)
{
    char folder[] = "/tmp/waypost-config-XXXXXX";
    struct config_source source;
    struct error error = { 0 };
    struct arena arena = { 0 };

    assert_non_null(mkdtemp(folder));
    assert_false(config_source_read(folder, NULL, NULL, &source, &error));
    assert_non_null(strstr(error.message, "main.cf"));
    const char *path = arena_printf(&arena, "%s/main.cf", folder);
    assert_return_code(symlink("nowhere", path), 0);
    assert_false(config_source_read(folder, NULL, NULL, &source, &error));
    assert_non_null(strstr(error.message, "main.cf"));
    unlink(path);
    rmdir(folder);
    assert_false(config_source_read("/dev", NULL, NULL, &source, &error));
    arena_clear(&arena);
}

static void every_parameter_is_documented_once(void **state)
{
    const struct parameter **sorted = calloc(parameter_count, sizeof *sorted);

    assert_true(parameter_count > 850);
    parameters_sort(sorted);
    for (size_t i = 0; i < parameter_count; i++) {
        struct str text = str_from(parameters[i].documentation);
        if (text.len < 10 || text.ptr[text.len - 1] != '.')
            fail_msg("%.*s: \"%s\"", STR_ARGS(parameters[i].name), text.ptr);
        if (i > 0 && str_compare(sorted[i - 1]->name, sorted[i]->name) >= 0)
            fail_msg("%.*s is there twice", STR_ARGS(sorted[i]->name));
    }
    free(sorted);
}

static void manual_page_has_every_parameter(void **state)
{
    char *page = NULL;
    size_t len;
    FILE *out = open_memstream(&page, &len);

    parameters_print_man(out);
    fclose(out);
    assert_memory_equal(page, ".TH POSTCONF 5", 14);
    assert_non_null(strstr(page, "\\fBsmtpd_timeout\\fR (default: ${stress?{10}:{300}}s)"));
    assert_non_null(strstr(page, "\\fB2bounce_notice_recipient\\fR"));
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_compatibility_level_zero),
        cmocka_unit_test(times_have_the_unit_of_their_default),
        cmocka_unit_test(overrides_of_a_service_hold_for_it_alone),
        cmocka_unit_test(bad_values_are_errors_with_place_and_range),
        cmocka_unit_test(comment_behind_a_number_is_left_out_with_a_warning),
        cmocka_unit_test(transports_have_their_own_values_or_the_common_ones),
        cmocka_unit_test(any_name_is_found_expanded),
        cmocka_unit_test(copy_for_roles_says_the_same),
        cmocka_unit_test(warnings_name_what_will_not_do_what_is_expected),
        cmocka_unit_test(services_that_will_not_do_what_is_expected_are_warned_about),
        cmocka_unit_test(own_networks_follow_the_style),
        cmocka_unit_test(missing_and_odd_files_are_errors_that_name_them),
        cmocka_unit_test(every_parameter_is_documented_once),
        cmocka_unit_test(manual_page_has_every_parameter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
