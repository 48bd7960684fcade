/* SPDX-License-Identifier: Apache-2.0 */
#include "net/sasl_client.h"

#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct sasl_client *client_with(const char *mechanisms, const char *demands)
{
    struct sasl_login login = { .mechanisms = str_from(mechanisms),
                                .user = STR("tim"),
                                .password = STR("tanstaaftanstaaf") };
    struct error error;

    assert_true(sasl_demands_parse(str_from(demands), &login.demands, &error));
    return sasl_client_new(&login);
}

static void base64_of_any_length_comes_back(void **state)
{
    static const char *const pairs[][2] = {
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
    };
    static const char *const bad[] = { "Z",    "Zg",   "Zg=",    "Zg==Zg==",
                                       "=Zg=", "Z===", "Zm9v\n", "Zm9*" };

    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        autofree_buf struct buf text = { 0 }, back = { 0 };
        base64_encode(str_from(pairs[i][0]), &text);
        assert_string_equal(buf_text(&text), pairs[i][1]);
        assert_true(base64_decode(buf_str(&text), &back));
        assert_string_equal(buf_text(&back), pairs[i][0]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        autofree_buf struct buf back = { 0 };
        assert_false(base64_decode(str_from(bad[i]), &back));
    }
}

static void best_allowed_mechanism_is_taken(void **state)
{
    static const struct {
        const char *offered, *demands, *taken;
    } cases[] = {
        { "PLAIN LOGIN", "noanonymous", "PLAIN" },
        { "LOGIN", "", "LOGIN" },
        { "login plain cram-md5", "noplaintext, noanonymous", "CRAM-MD5" },
        { "PLAIN SCRAM-SHA-1 CRAM-MD5 SCRAM-SHA-256", "", "SCRAM-SHA-256" },
        { "PLAIN SCRAM-SHA-1 CRAM-MD5", "mutual_auth noactive", "SCRAM-SHA-1" },
        { "PLAIN LOGIN", "noplaintext", NULL },
        { "CRAM-MD5", "nodictionary", NULL },
        { "SCRAM-SHA-256", "forward_secrecy", NULL },
        { "GSSAPI XOAUTH2", "", NULL },
        { "", "", NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sasl_client *client = client_with(cases[i].offered, cases[i].demands);
        if (cases[i].taken == NULL)
            assert_null(client);
        else
            assert_string_equal(sasl_client_mechanism(client), cases[i].taken);
        sasl_client_free(&client);
    }
}

static void unknown_demand_is_refused(void **state)
{
    unsigned demands;
    struct error error;

    (void)state;
    assert_false(sasl_demands_parse(STR("noplaintext, nothing"), &demands, &error));
    assert_non_null(strstr(error.message, "nothing"));
}

/* RFC 2195, section 2. */
static void cram_md5_answers_as_in_its_rfc(void **state)
{
    struct sasl_client *client = client_with("CRAM-MD5", "");
    autofree_buf struct buf response = { 0 };

    (void)state;
    assert_false(sasl_client_begin(client, &response));
    assert_true(
        sasl_client_respond(client, STR("<1896.697170952@postoffice.reston.mci.net>"), &response));
    assert_string_equal(buf_text(&response), "tim b913a602c7eda7a495b4e6e7334d3890");
    assert_true(sasl_client_is_satisfied(client));
    assert_false(sasl_client_respond(client, STR("again"), &response));
    sasl_client_free(&client);
}

static void plain_and_login_say_name_and_password(void **state)
{
    struct sasl_client *client = client_with("PLAIN", "");
    autofree_buf struct buf response = { 0 };

    (void)state;
    assert_true(sasl_client_begin(client, &response));
    assert_true(str_equal(buf_str(&response), STR("\0tim\0tanstaaftanstaaf")));
    sasl_client_free(&client);
    client = client_with("LOGIN", "");
    buf_clear(&response);
    assert_false(sasl_client_begin(client, &response));
    assert_true(sasl_client_respond(client, STR("Username:"), &response));
    assert_string_equal(buf_text(&response), "tim");
    buf_clear(&response);
    assert_true(sasl_client_respond(client, STR("Password:"), &response));
    assert_string_equal(buf_text(&response), "tanstaaftanstaaf");
    assert_false(sasl_client_respond(client, STR("More:"), &response));
    sasl_client_free(&client);
}

static void who_acts_is_named_twice_where_that_is_wanted(void **state)
{
    struct sasl_login login = { .mechanisms = STR("PLAIN"),
                                .user = STR("a,b=c"),
                                .password = STR("secret"),
                                .sends_authorization = true };
    struct sasl_client *client = sasl_client_new(&login);
    autofree_buf struct buf response = { 0 }, challenge = { 0 }, proof = { 0 };

    (void)state;
    assert_true(sasl_client_begin(client, &response));
    assert_true(str_equal(buf_str(&response), STR("a,b=c\0a,b=c\0secret")));
    sasl_client_free(&client);
    login.mechanisms = STR("SCRAM-SHA-256");
    client = sasl_client_new(&login);
    buf_clear(&response);
    assert_true(sasl_client_begin(client, &response));
    const char *begin = "n,a=a=2Cb=3Dc,n=a=2Cb=3Dc,r=";
    assert_true(str_starts_with(buf_str(&response), str_from(begin)));
    buf_printf(&challenge, "r=%.*sabc,s=QSXCR+Q6sek8bf92,i=4096",
               STR_ARGS(str_skip(buf_str(&response), strlen(begin))));
    assert_true(sasl_client_respond(client, buf_str(&challenge), &proof));
    /* the same header again, in base64 */
    assert_true(str_starts_with(buf_str(&proof), STR("c=bixhPWE9MkNiPTNEYyw=,r=")));
    sasl_client_free(&client);
}

/* What a server may say first, for the nonce that the client chose. */
static void scram_gives_up_on_a_server_that_cheats(void **state)
{
    static const char *const formats[] = {
        "r=other,s=QSXCR+Q6sek8bf92,i=4096",
        "r=%s,s=QSXCR+Q6sek8bf92,i=4096",
        "r=%sx,s=,i=4096",
        "r=%sx,s=QSXCR+Q6sek8bf92,i=0",
        "r=%sx,s=QSXCR+Q6sek8bf92,i=9999999",
        "r=%sx,s=QSXCR+Q6sek8bf92,i=-1",
        "r=%sx,s=QSXCR+Q6sek8bf92",
        "s=QSXCR+Q6sek8bf92,r=%sx,i=4096",
        "m=ext,r=%sx,s=QSXCR+Q6sek8bf92,i=4",
        "",
    };

    (void)state;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct sasl_client *client = client_with("SCRAM-SHA-256", "");
        autofree_buf struct buf first = { 0 }, response = { 0 }, challenge = { 0 };
        assert_true(sasl_client_begin(client, &first));
        assert_true(str_starts_with(buf_str(&first), STR("n,,n=tim,r=")));
        struct str format = str_from(formats[i]);
        ptrdiff_t at = str_find(format, STR("%s"));
        if (at >= 0) {
            buf_append(&challenge, str_take(format, (size_t)at));
            buf_append(&challenge, str_skip(buf_str(&first), strlen("n,,n=tim,r=")));
            buf_append(&challenge, str_skip(format, (size_t)at + 2));
        } else {
            buf_append(&challenge, format);
        }
        assert_false(sasl_client_respond(client, buf_str(&challenge), &response));
        assert_false(sasl_client_is_satisfied(client));
        sasl_client_free(&client);
    }
}

static void scram_wants_the_servers_proof(void **state)
{
    struct sasl_client *client = client_with("SCRAM-SHA-1", "");
    autofree_buf struct buf first = { 0 }, response = { 0 }, challenge = { 0 };

    (void)state;
    assert_true(sasl_client_begin(client, &first));
    buf_printf(&challenge, "r=%.*sabc,s=QSXCR+Q6sek8bf92,i=4096",
               STR_ARGS(str_skip(buf_str(&first), strlen("n,,n=tim,r="))));
    assert_true(sasl_client_respond(client, buf_str(&challenge), &response));
    assert_true(str_find(buf_str(&response), STR(",p=")) > 0);
    assert_false(sasl_client_is_satisfied(client));
    assert_false(sasl_client_respond(client, STR("v=rmF9pqV8S7suAoZWja4dJRkFsKQ="), &response));
    assert_false(sasl_client_is_satisfied(client));
    sasl_client_free(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_of_any_length_comes_back),
        cmocka_unit_test(best_allowed_mechanism_is_taken),
        cmocka_unit_test(unknown_demand_is_refused),
        cmocka_unit_test(cram_md5_answers_as_in_its_rfc),
        cmocka_unit_test(plain_and_login_say_name_and_password),
        cmocka_unit_test(who_acts_is_named_twice_where_that_is_wanted),
        cmocka_unit_test(scram_gives_up_on_a_server_that_cheats),
        cmocka_unit_test(scram_wants_the_servers_proof),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
