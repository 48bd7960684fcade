/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/user_access.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { OWNER = 102, OTHER = 12345 };

struct fixture {
    struct config_source source;
    struct config *config;
    struct user_access *access;
};

static void make(struct fixture *fixture, enum user_right right, const char *list)
{
    struct error error = { 0 };
    char text[512];

    snprintf(text, sizeof text,
             "compatibility_level = 3.6\nmyhostname = mail.example.test\n"
             "authorized_flush_users = %s\nauthorized_mailq_users = %s\n"
             "authorized_submit_users = %s\n",
             list, list, list);
    *fixture = (struct fixture){ 0 };
    if (!config_source_parse("/tmp", str_from(text), STR(""), &fixture->source, &error))
        fail_msg("%s", error.message);
    fixture->config = config_new(&fixture->source, NULL, NULL, NULL, &error);
    if (fixture->config == NULL)
        fail_msg("%s", error.message);
    fixture->access = user_access_new(fixture->config, right, OWNER);
}

static void clear(struct fixture *fixture)
{
    user_access_free(&fixture->access);
    config_free(&fixture->config);
    config_source_free(&fixture->source);
}

/* The reason; "" where it is allowed. */
static struct error ask(enum user_right right, const char *list, uid_t uid, const char *name)
{
    struct fixture fixture;
    struct error error = { 0 };

    make(&fixture, right, list);
    enum user_verdict verdict = user_access_check(fixture.access, uid, str_from(name), &error);
    bool is_verdict_on_user = strncmp(error.message, "User ", 5) == 0;
    assert_int_equal(verdict, error.message[0] == '\0' ? USER_ALLOWED
                              : is_verdict_on_user     ? USER_FORBIDDEN
                                                       : USER_UNCLEAR);
    clear(&fixture);
    return error;
}

static void the_first_entry_that_matches_decides(void **state)
{
    static const struct {
        const char *list, *name;
        bool is_allowed;
    } cases[] = {
        { "static:anyone", "alice", true },
        { "static:anyone", "", true },
        { "alice", "alice", true },
        { "alice", "Alice", true },
        { "alice", "alic", false },
        { "alice", "", false },
        { "!www, static:all", "www", false },
        { "!www, static:all", "alice", true },
        { "!www, static:all", "", true },
        { "!unknown static:all", "", false },
        { "bob inline:{alice=x}", "alice", true },
        { "bob inline:{alice=x}", "carol", false },
        { "", "alice", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error error = ask(USER_RIGHT_SUBMIT, cases[i].list, OTHER, cases[i].name);
        if ((error.message[0] == '\0') != cases[i].is_allowed)
            fail_msg("%s for %s: %s", cases[i].list, cases[i].name, error.message);
    }
}

static void the_texts_are_those_of_postfix(void **state)
{
    (void)state;
    assert_string_equal(ask(USER_RIGHT_FLUSH, "alice", 65534, "nobody").message,
                        "User nobody(65534) is not allowed to flush the mail queue");
    assert_string_equal(ask(USER_RIGHT_VIEW, "alice", OTHER, "").message,
                        "User unknown(12345) is not allowed to view the mail queue");
    assert_string_equal(ask(USER_RIGHT_SUBMIT, "alice", 0, "root").message,
                        "User root(0) is not allowed to submit mail");
}

static void root_and_the_owner_always_look_and_flush_but_do_not_always_submit(void **state)
{
    (void)state;
    for (int right = USER_RIGHT_FLUSH; right <= USER_RIGHT_VIEW; right++) {
        assert_string_equal(ask(right, "", 0, "root").message, "");
        assert_string_equal(ask(right, "", OWNER, "postfix").message, "");
    }
    assert_string_not_equal(ask(USER_RIGHT_SUBMIT, "", 0, "root").message, "");
    assert_string_not_equal(ask(USER_RIGHT_SUBMIT, "", OWNER, "postfix").message, "");
}

static void a_name_is_needed_only_where_it_decides(void **state)
{
    struct fixture fixture;

    (void)state;
    make(&fixture, USER_RIGHT_VIEW, "static:anyone");
    assert_true(user_access_is_given(fixture.access, OTHER));
    clear(&fixture);
    make(&fixture, USER_RIGHT_VIEW, "!www static:anyone");
    assert_false(user_access_is_given(fixture.access, OTHER));
    assert_true(user_access_is_given(fixture.access, 0));
    clear(&fixture);
}

static void a_list_that_cannot_tell_refuses_for_now(void **state)
{
    (void)state;
    assert_non_null(
        strstr(ask(USER_RIGHT_VIEW, "hash:/no/such", OTHER, "alice").message, "/no/such"));
    assert_non_null(
        strstr(ask(USER_RIGHT_VIEW, "/no/such/list", OTHER, "alice").message, "/no/such/list"));
    assert_non_null(strstr(ask(USER_RIGHT_VIEW, "static:all, /no/such/list", OTHER, "a").message,
                           "/no/such/list"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_entry_that_matches_decides),
        cmocka_unit_test(the_texts_are_those_of_postfix),
        cmocka_unit_test(root_and_the_owner_always_look_and_flush_but_do_not_always_submit),
        cmocka_unit_test(a_name_is_needed_only_where_it_decides),
        cmocka_unit_test(a_list_that_cannot_tell_refuses_for_now),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
