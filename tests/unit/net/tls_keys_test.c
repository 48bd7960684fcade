/* SPDX-License-Identifier: Apache-2.0 */
/* The keyring and its requests, and whole handshakes whose private side is asked of it. */
#include "net/tls.h"
#include "net/tls_library.h"
#include "net/tls_pem.h"

#include "base/arena.h"
#include "base/ensure.h"
#include "base/file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ROUNDS_MAX = 20 };

static const char *const kinds[] = { "rsa", "ec", "ed25519", "other" };
enum { KIND_RSA, KIND_EC, KIND_ED25519, KIND_OTHER, KIND_COUNT };
static const char *const new_keys[KIND_COUNT] = { "rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-256",
                                                  "ed25519", "rsa:2048" };

struct world {
    struct arena arena;
    const char *folder;
    struct tls_keys *keys;
    struct tls_key_holder holder;
    struct buf said;             /* warnings */
    struct tls_key_request last; /* that the holder was asked; its texts are gone */
    unsigned asked;
    bool is_away;
};

static const char *file_of(struct world *world, int kind, const char *what)
{
    return arena_printf(&world->arena, "%s/%s.%s", world->folder, kinds[kind], what);
}

static bool holder_asks(void *argument, const struct tls_key_request *request, struct buf *result)
{
    struct world *world = argument;

    world->asked++;
    world->last = *request;
    return !world->is_away && tls_keys_use(world->keys, request, result) == TLS_KEY_DONE;
}

static void say(void *argument, const char *text)
{
    struct world *world = argument;

    buf_append_text(&world->said, text);
    buf_append_byte(&world->said, '\n');
}

static struct tls_files files_of(struct world *world, int kind)
{
    return (struct tls_files){ .rsa_cert = str_from(file_of(world, kind, "pem")),
                               .rsa_key = str_from(file_of(world, kind, "key")) };
}

static bool add(struct world *world, int kind, const char *owner)
{
    const struct tls_files files = files_of(world, kind);
    const struct tls_warning warning = { say, world };

    return tls_keys_add_files(world->keys, &files, str_from(owner), &warning);
}

static int set_up_all(void **state)
{
    static struct world world;
    static char folder[] = "/tmp/waypost-keys-XXXXXX";

    if (mkdtemp(folder) == NULL)
        return -1;
    world.folder = folder;
    for (int kind = 0; kind < KIND_COUNT; kind++)
        if (system(arena_printf(&world.arena,
                                "openssl req -x509 -newkey %s -nodes -days 2 -subj /CN=%s "
                                "-keyout %s -out %s 2>/dev/null",
                                new_keys[kind], kinds[kind], file_of(&world, kind, "key"),
                                file_of(&world, kind, "pem"))) != 0)
            return -1;
    *state = &world;
    return 0;
}

static int tear_down_all(void **state)
{
    struct world *world = *state;
    int status = system(arena_printf(&world->arena, "rm -r %s", world->folder));

    arena_clear(&world->arena);
    return status;
}

static int set_up(void **state)
{
    struct world *world = *state;
    struct error error;

    world->keys = tls_keys_new(&error);
    world->holder = (struct tls_key_holder){ .ask = holder_asks, .argument = world };
    world->asked = 0;
    world->is_away = false;
    buf_clear(&world->said);
    return world->keys == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    tls_key_holder_clear(&world->holder);
    tls_keys_free(&world->keys);
    buf_free(&world->said);
    return 0;
}

/* ---- handshakes ---- */

struct end {
    struct tls *tls;
    struct buf in; /* what the other end sent */
    struct end *other;
};

static ssize_t receive(void *argument, char *room, size_t room_bytes)
{
    struct end *end = argument;
    size_t count = end->in.len < room_bytes ? end->in.len : room_bytes;

    if (count == 0) {
        errno = EAGAIN;
        return -1;
    }
    memcpy(room, end->in.ptr, count);
    buf_consume(&end->in, count);
    return (ssize_t)count;
}

static void send_on(void *argument, struct str bytes)
{
    buf_append(&((struct end *)argument)->other->in, bytes);
}

static void join(struct end *end, struct end *other)
{
    end->other = other;
    tls_set_transport(end->tls, &(struct tls_transport){ receive, send_on, end });
}

/* True when both ends say that it is done. */
static bool shake_hands(struct end *client, struct end *server)
{
    enum tls_progress of_client = TLS_WANTS_INPUT, of_server = TLS_WANTS_INPUT;

    for (int round = 0; round < ROUNDS_MAX; round++) {
        if (of_client == TLS_WANTS_INPUT)
            of_client = tls_handshake(client->tls);
        if (of_server == TLS_WANTS_INPUT)
            of_server = tls_handshake(server->tls);
        if (of_client == TLS_FAILED || of_server == TLS_FAILED)
            return false;
    }
    return of_client == TLS_DONE && of_server == TLS_DONE;
}

struct handshake {
    int kind, client_kind; /* whose key; < 0: the client has none */
    enum tls_protocol protocol;
    const char *ciphers;
    const char *cipher;   /* that comes of it */
    enum tls_key_use use; /* the last that was asked */
};

static struct tls_context *context_of(struct world *world, int kind, bool is_server, bool asks)
{
    const struct tls_context_options options = {
        .is_server = is_server,
        .asks_for_certificate = asks,
        .files = kind >= 0 ? files_of(world, kind) : (struct tls_files){ 0 },
        .holder = &world->holder,
        .key_owner = is_server ? STR("smtp") : STR("relay"),
        .protocols = { (1u << TLS_PROTOCOLS) - 1 },
        .fingerprint_digest = STR("sha256"),
        .verify_depth = 9,
        .listener = STR("smtp"),
        .warning = { say, world },
    };

    return tls_context_new(&options);
}

static bool play(struct world *world, const struct handshake *handshake, struct tls_facts *facts)
{
    bool asks = handshake->client_kind >= 0;
    struct tls_context *of_server = context_of(world, handshake->kind, true, asks);
    struct tls_context *of_client = context_of(world, handshake->client_kind, false, false);
    const struct tls_client_options options = { .protocols = { 1u << handshake->protocol },
                                                .cipher_list = str_from(handshake->ciphers) };
    struct end server = { 0 }, client = { 0 };
    struct error error;

    assert_non_null(of_server);
    assert_non_null(of_client);
    server.tls = tls_new_server(of_server, &error);
    client.tls = tls_new_client(of_client, &options, &error);
    assert_non_null(server.tls);
    assert_non_null(client.tls);
    join(&server, &client);
    join(&client, &server);
    bool is_done = shake_hands(&client, &server);
    if (is_done)
        tls_get_facts(server.tls, &world->arena, facts);
    tls_free(&server.tls);
    tls_free(&client.tls);
    tls_context_free(&of_server);
    tls_context_free(&of_client);
    buf_free(&server.in);
    buf_free(&client.in);
    return is_done;
}

static void handshakes_of_every_kind_use_the_holder(void **state)
{
    static const struct handshake handshakes[] = {
        { KIND_RSA, -1, TLS_1_3, "ALL", "TLS_AES_256_GCM_SHA384", TLS_KEY_SIGN_PSS },
        { KIND_RSA, -1, TLS_1_2, "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
          TLS_KEY_SIGN_PSS },
        { KIND_RSA, -1, TLS_1_2, "AES128-GCM-SHA256", "AES128-GCM-SHA256", TLS_KEY_DECRYPT },
        { KIND_RSA, -1, TLS_1_2, "DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256",
          TLS_KEY_SIGN_PSS },
        { KIND_EC, -1, TLS_1_3, "ALL", "TLS_AES_256_GCM_SHA384", TLS_KEY_SIGN },
        { KIND_EC, -1, TLS_1_2, "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384",
          TLS_KEY_SIGN },
        { KIND_ED25519, -1, TLS_1_3, "ALL", "TLS_AES_256_GCM_SHA384", TLS_KEY_SIGN_TEXT },
        { KIND_ED25519, -1, TLS_1_2, "ECDHE-ECDSA-AES256-GCM-SHA384",
          "ECDHE-ECDSA-AES256-GCM-SHA384", TLS_KEY_SIGN_TEXT },
        { KIND_EC, KIND_RSA, TLS_1_3, "ALL", "TLS_AES_256_GCM_SHA384", TLS_KEY_SIGN_PSS },
        { KIND_RSA, KIND_EC, TLS_1_2, "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
          TLS_KEY_SIGN },
    };
    struct world *world = *state;

    for (int kind = 0; kind < KIND_COUNT; kind++)
        assert_true(add(world, kind, "smtp") && add(world, kind, "relay"));
    for (size_t i = 0; i < sizeof handshakes / sizeof handshakes[0]; i++) {
        struct tls_facts facts = { 0 };
        world->asked = 0;
        if (!play(world, &handshakes[i], &facts))
            fail_msg("handshake %zu failed", i);
        assert_int_equal(world->asked, handshakes[i].client_kind < 0 ? 1 : 2);
        assert_int_equal(world->last.use, handshakes[i].use);
        assert_true(str_equal(facts.cipher, str_from(handshakes[i].cipher)));
        assert_int_equal(facts.has_certificate, handshakes[i].client_kind >= 0);
    }
    assert_string_equal(buf_text(&world->said), "");
}

static void without_the_holder_a_handshake_fails_and_later_ones_do_not(void **state)
{
    static const struct handshake handshake = {
        KIND_RSA, -1, TLS_1_3, "ALL", "", TLS_KEY_SIGN_PSS
    };
    struct world *world = *state;
    struct tls_facts facts;

    assert_true(add(world, KIND_RSA, "smtp"));
    world->is_away = true;
    assert_false(play(world, &handshake, &facts));
    world->is_away = false;
    assert_true(play(world, &handshake, &facts));
}

static void a_service_cannot_use_the_key_of_another_one(void **state)
{
    static const struct handshake handshake = {
        KIND_RSA, -1, TLS_1_3, "ALL", "", TLS_KEY_SIGN_PSS
    };
    struct world *world = *state;
    struct tls_facts facts;

    assert_true(add(world, KIND_RSA, "submission"));
    assert_false(play(world, &handshake, &facts));
}

/* ---- requests ---- */

/* What the context calls its key. */
static struct str key_of(struct world *world, int kind)
{
    struct tls_context *context = context_of(world, kind, true, false);
    struct str key;
    size_t at = 0;

    assert_non_null(context);
    assert_true(tls_context_next_key(context, &at, &key));
    assert_int_equal(key.len, TLS_KEY_NAME_BYTES);
    key = arena_copy(&world->arena, key);
    assert_false(tls_context_next_key(context, &at, &(struct str){ 0 }));
    tls_context_free(&context);
    return key;
}

static void a_key_does_what_tls_needs_and_no_more(void **state)
{
    static char room[TLS_KEY_TEXT_MAX + 1];
    static const struct {
        int kind;
        enum tls_key_use use;
        enum tls_key_digest digest;
        uint32_t version;
        size_t text_bytes;
        enum tls_key_outcome outcome;
        size_t result_bytes; /* 0: any */
    } cases[] = {
        { KIND_RSA, TLS_KEY_FIND, 0, 0, 0, TLS_KEY_DONE, 0 },
        { KIND_RSA, TLS_KEY_SIGN, TLS_KEY_SHA256, 0, 32, TLS_KEY_DONE, 256 },
        { KIND_RSA, TLS_KEY_SIGN, TLS_KEY_MD5_SHA1, 0, 36, TLS_KEY_DONE, 256 },
        { KIND_RSA, TLS_KEY_SIGN_PSS, TLS_KEY_SHA512, 0, 64, TLS_KEY_DONE, 256 },
        { KIND_EC, TLS_KEY_SIGN, TLS_KEY_SHA384, 0, 48, TLS_KEY_DONE, 0 },
        { KIND_ED25519, TLS_KEY_SIGN_TEXT, 0, 0, 130, TLS_KEY_DONE, 64 },
        /* A ciphertext that is none gives a premaster secret that nobody knows. */
        { KIND_RSA, TLS_KEY_DECRYPT, 0, 0x303, 256, TLS_KEY_DONE, 48 },
        { KIND_RSA, TLS_KEY_DECRYPT, 0, 0, 256, TLS_KEY_FAILED, 0 },
        { KIND_RSA, TLS_KEY_DECRYPT, 0, 0x303, 255, TLS_KEY_DONE, 48 },
        { KIND_EC, TLS_KEY_DECRYPT, 0, 0x303, 256, TLS_KEY_FAILED, 0 },
        { KIND_RSA, TLS_KEY_SIGN, TLS_KEY_SHA256, 0, 31, TLS_KEY_FAILED, 0 },
        { KIND_RSA, TLS_KEY_SIGN, TLS_KEY_SHA256, 0, 64, TLS_KEY_FAILED, 0 },
        { KIND_RSA, TLS_KEY_SIGN, TLS_KEY_NO_DIGEST, 0, 0, TLS_KEY_FAILED, 0 },
        { KIND_RSA, TLS_KEY_SIGN, TLS_KEY_DIGEST_COUNT, 0, 32, TLS_KEY_FAILED, 0 },
        { KIND_RSA, TLS_KEY_SIGN_TEXT, 0, 0, 130, TLS_KEY_FAILED, 0 },
        { KIND_EC, TLS_KEY_SIGN_TEXT, 0, 0, 130, TLS_KEY_FAILED, 0 },
        { KIND_EC, TLS_KEY_SIGN_PSS, TLS_KEY_SHA256, 0, 32, TLS_KEY_FAILED, 0 },
        { KIND_ED25519, TLS_KEY_SIGN, TLS_KEY_SHA256, 0, 32, TLS_KEY_FAILED, 0 },
        { KIND_ED25519, TLS_KEY_SIGN_TEXT, 0, 0, TLS_KEY_TEXT_MAX + 1, TLS_KEY_FAILED, 0 },
        { KIND_RSA, TLS_KEY_USES, 0, 0, 0, TLS_KEY_FAILED, 0 },
        { KIND_OTHER, TLS_KEY_FIND, 0, 0, 0, TLS_KEY_UNKNOWN, 0 },
    };
    struct world *world = *state;

    for (int kind = 0; kind < KIND_OTHER; kind++)
        assert_true(add(world, kind, "smtp"));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        autofree_buf struct buf result = { 0 };
        const struct tls_key_request request = { .owner = STR("smtp"),
                                                 .key = key_of(world, cases[i].kind),
                                                 .use = cases[i].use,
                                                 .digest = cases[i].digest,
                                                 .client_version = cases[i].version,
                                                 .text = str_of(room, cases[i].text_bytes) };
        if (tls_keys_use(world->keys, &request, &result) != cases[i].outcome)
            fail_msg("case %zu", i);
        if (cases[i].result_bytes > 0)
            assert_int_equal(result.len, cases[i].result_bytes);
        if (cases[i].outcome != TLS_KEY_DONE)
            assert_int_equal(result.len, 0);
    }
}

/* ---- files ---- */

static void what_is_wrong_with_a_file_is_said_with_its_name(void **state)
{
    struct world *world = *state;
    struct tls_files files = files_of(world, KIND_RSA);
    const struct tls_warning warning = { say, world };

    files.rsa_key = str_from(file_of(world, KIND_OTHER, "key"));
    assert_false(tls_keys_add_files(world->keys, &files, STR("smtp"), &warning));
    assert_non_null(strstr(buf_text(&world->said),
                           arena_printf(&world->arena,
                                        "cannot get RSA private key from file \"%s\": disabling "
                                        "TLS support\n",
                                        file_of(world, KIND_OTHER, "key"))));
    assert_non_null(strstr(buf_text(&world->said), "key values mismatch"));
    buf_clear(&world->said);
    files.rsa_key = STR("/nowhere/a.key");
    assert_false(tls_keys_add_files(world->keys, &files, STR("smtp"), &warning));
    assert_non_null(strstr(buf_text(&world->said), "cannot get RSA private key from file "
                                                   "\"/nowhere/a.key\": disabling TLS support\n"));
    assert_non_null(strstr(buf_text(&world->said), "TLS library problem: "));
    assert_int_equal(tls_keys_count(world->keys), 0);
}

static void one_broken_pair_leaves_none(void **state)
{
    struct world *world = *state;
    struct tls_files files = files_of(world, KIND_RSA);
    const struct tls_warning warning = { say, world };

    files.ec_cert = str_from(file_of(world, KIND_EC, "pem"));
    files.ec_key = str_from(file_of(world, KIND_RSA, "key"));
    assert_false(tls_keys_add_files(world->keys, &files, STR("smtp"), &warning));
    assert_int_equal(tls_keys_count(world->keys), 0);
    files.ec_key = str_from(file_of(world, KIND_EC, "key"));
    buf_clear(&world->said);
    if (!tls_keys_add_files(world->keys, &files, STR("smtp"), &warning))
        fail_msg("%s", buf_text(&world->said));
    assert_int_equal(tls_keys_count(world->keys), 2);
}

static void read_into(const char *path, struct buf *out)
{
    struct error error;

    ensure(file_read(path, 65536, out, &error));
}

static void a_chain_is_shown_without_its_keys(void **state)
{
    struct world *world = *state;
    autofree_buf struct buf pem = { 0 }, blank = { 0 }, again = { 0 };
    struct error error;

    buf_append_text(&pem, "about\n-----BEGIN X-----\nsecret\n-----END X-----\n");
    read_into(file_of(world, KIND_RSA, "key"), &pem);
    read_into(file_of(world, KIND_RSA, "pem"), &pem);
    read_into(file_of(world, KIND_EC, "key"), &pem);
    read_into(file_of(world, KIND_EC, "pem"), &pem);
    assert_true(tls_keys_add_chain(world->keys, buf_str(&pem), STR("smtp"), &error));
    assert_int_equal(tls_keys_count(world->keys), 2);

    tls_pem_blank(buf_str(&pem), &blank);
    buf_append_text(&again, "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n");
    read_into(file_of(world, KIND_RSA, "pem"), &again);
    buf_append_text(&again, "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n");
    read_into(file_of(world, KIND_EC, "pem"), &again);
    assert_string_equal(buf_text(&blank), buf_text(&again));
    assert_false(tls_keys_add_chain(world->keys, buf_str(&blank), STR("smtp"), &error));
}

static void a_key_without_end_is_not_shown(void **state)
{
    static const char *const texts[] = {
        "-----BEGIN PRIVATE KEY-----\nsecret\n",
        "-----BEGIN PRIVATE KEY-----\nsecret\n-----END CERTIFICATE-----\n",
        "-----BEGIN PRIVATE KEY\nsecret",
        /* A certificate that was cut off hides what follows from nobody. */
        "-----BEGIN CERTIFICATE-----\nx\n-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE "
        "KEY-----\n-----BEGIN CERTIFICATE-----\ny\n-----END CERTIFICATE-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n-----BEGIN "
        "CERTIFICATE-----\nx\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        autofree_buf struct buf blank = { 0 };
        tls_pem_blank(str_from(texts[i]), &blank);
        assert_null(strstr(buf_text(&blank), "secret"));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(handshakes_of_every_kind_use_the_holder),
        TEST(without_the_holder_a_handshake_fails_and_later_ones_do_not),
        TEST(a_service_cannot_use_the_key_of_another_one),
        TEST(a_key_does_what_tls_needs_and_no_more),
        TEST(what_is_wrong_with_a_file_is_said_with_its_name),
        TEST(one_broken_pair_leaves_none),
        TEST(a_chain_is_shown_without_its_keys),
        TEST(a_key_without_end_is_not_shown),
    };

    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
