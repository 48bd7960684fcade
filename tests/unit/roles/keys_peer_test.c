/* SPDX-License-Identifier: Apache-2.0 */
/* The client of keys and the role's side of the channel, in one loop. */
#include "keyring.h"
#include "peer.h"

#include "base/ensure.h"
#include "service/keys.h"
#include "wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

enum { DIGEST_BYTES = 32 };

/* One process of keys. */
struct process {
    struct keyring keyring;
    struct keys_counts counts;
    struct keys_side smtpd, smtp;
};

struct world {
    struct loop *loop;
    struct arena arena;
    const char *folder;
    struct process older, newer;
    struct keys_client *client;
    unsigned char key[TLS_KEY_NAME_BYTES]; /* the name of the only one */
    void (*play)(struct world *world);
};

static void say(void *argument, const char *text)
{
    (void)argument;
    fail_msg("%s", text);
}

static struct tls_files files_of(struct world *world)
{
    return (struct tls_files){
        .rsa_cert = str_from(arena_printf(&world->arena, "%s/pem", world->folder)),
        .rsa_key = str_from(arena_printf(&world->arena, "%s/key", world->folder)),
    };
}

static void role_init(struct world *world, struct process *role)
{
    struct error error;

    *role = (struct process){ .keyring = { .keys = tls_keys_new(&error) } };
    ensure(role->keyring.keys != NULL);
    role->smtpd =
        (struct keys_side){ .role = "smtpd", .keyring = &role->keyring, .counts = &role->counts };
    role->smtp =
        (struct keys_side){ .role = "smtp", .keyring = &role->keyring, .counts = &role->counts };
    keys_side_init(&role->smtpd, world->loop);
    keys_side_init(&role->smtp, world->loop);
}

static void role_clear(struct process *role)
{
    keys_side_clear(&role->smtpd);
    keys_side_clear(&role->smtp);
    keyring_close(&role->keyring);
}

static void give_key(struct world *world, struct process *role, const char *owner)
{
    const struct tls_files files = files_of(world);
    const struct tls_warning warning = { say, NULL };

    assert_true(tls_keys_add_files(role->keyring.keys, &files, str_from(owner), &warning));
}

static void join(struct world *world, struct keys_side *side)
{
    struct error error;
    int pair[2];

    ensure(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    assert_true(keys_side_add(side, pair[0], &error));
    assert_true(keys_client_attach(world->client, pair[1], &error));
}

/* The name of the key, as a context has it. */
static void find_name(struct world *world)
{
    const struct tls_context_options options = {
        .is_server = true,
        .files = files_of(world),
        .holder = keys_client_holder(world->client),
        .protocols = { (1u << TLS_PROTOCOLS) - 1 },
        .fingerprint_digest = STR("sha256"),
        .warning = { say, NULL },
    };
    struct tls_context *context = tls_context_new(&options);
    struct str name;
    size_t at = 0;

    ensure(context != NULL && tls_context_next_key(context, &at, &name));
    memcpy(world->key, name.ptr, sizeof world->key);
    tls_context_free(&context);
}

static int set_up_all(void **state)
{
    static struct world world;
    static char folder[] = "/tmp/waypost-keys-XXXXXX";
    struct arena scratch = { 0 };

    if (mkdtemp(folder) == NULL)
        return -1;
    world.folder = folder;
    int status = system(arena_printf(&scratch,
                                     "cd %s && openssl req -x509 -newkey rsa:2048 -nodes -days 2 "
                                     "-subj /CN=x -keyout key -out pem 2>/dev/null",
                                     folder));
    arena_clear(&scratch);
    *state = &world;
    return status;
}

static int tear_down_all(void **state)
{
    struct world *world = *state;
    struct arena scratch = { 0 };
    int status = system(arena_printf(&scratch, "rm -r %s", world->folder));

    arena_clear(&scratch);
    return status;
}

static int set_up(void **state)
{
    struct world *world = *state;
    struct error error;

    world->loop = loop_new(&error);
    ensure(world->loop != NULL);
    role_init(world, &world->older);
    role_init(world, &world->newer);
    world->client = keys_client_new(world->loop);
    find_name(world);
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    keys_client_free(&world->client);
    role_clear(&world->older);
    role_clear(&world->newer);
    loop_free(&world->loop);
    arena_clear(&world->arena);
    return 0;
}

static void run(void *argument)
{
    struct world *world = argument;

    world->play(world);
    loop_stop(world->loop);
}

static void play(struct world *world, void (*function)(struct world *world))
{
    world->play = function;
    (void)fiber_start(world->loop, "test", run, world);
    loop_run(world->loop);
}

/* Whether the service gets a signature. */
static bool signs(struct world *world, const char *service)
{
    static const char digest[DIGEST_BYTES];
    struct tls_key_holder *holder = keys_client_holder(world->client);
    const struct tls_key_request request = {
        .owner = str_from(service),
        .key = str_of((const char *)world->key, sizeof world->key),
        .use = TLS_KEY_SIGN,
        .digest = TLS_KEY_SHA256,
        .text = str_of(digest, sizeof digest),
    };
    autofree_buf struct buf result = { 0 };

    return holder->ask(holder->argument, &request, &result) && result.len == 256;
}

/* ---- who may what ---- */

static void play_smtpd(struct world *world)
{
    assert_true(signs(world, "submission"));
    assert_false(signs(world, "smtps"));
    assert_int_equal(world->newer.counts.used, 2);
    assert_int_equal(world->newer.counts.failed, 1);
}

static void a_service_uses_its_own_key_alone(void **state)
{
    struct world *world = *state;

    give_key(world, &world->newer, "smtpd/submission");
    join(world, &world->newer.smtpd);
    play(world, play_smtpd);
}

static void play_smtp(struct world *world)
{
    assert_false(signs(world, "submission"));
    assert_false(signs(world, "../smtpd/submission"));
    assert_false(signs(world, "smtpd/submission"));
    assert_true(signs(world, "relay"));
}

static void a_worker_of_smtp_cannot_use_a_key_of_smtpd(void **state)
{
    struct world *world = *state;

    give_key(world, &world->newer, "smtpd/submission");
    give_key(world, &world->newer, "smtp/relay");
    join(world, &world->newer.smtp);
    play(world, play_smtp);
}

/* ---- successors ---- */

static void play_older(struct world *world)
{
    assert_true(signs(world, "submission"));
    assert_int_equal(world->newer.counts.failed, 1);
    assert_int_equal(world->older.counts.used, 1);
}

static void a_key_that_the_successor_lacks_is_the_predecessor_s(void **state)
{
    struct world *world = *state;

    give_key(world, &world->older, "smtpd/submission");
    join(world, &world->older.smtpd);
    join(world, &world->newer.smtpd);
    play(world, play_older);
}

static void those_who_come_after_the_end_began_do_not_count(void **state)
{
    struct world *world = *state;

    join(world, &world->older.smtpd);
    assert_int_equal(keys_side_count(&world->older.smtpd), 1);
    keys_side_retire(&world->older.smtpd);
    join(world, &world->older.smtpd);
    assert_int_equal(keys_side_count(&world->older.smtpd), 1);
}

static void play_alone(struct world *world)
{
    int64_t before_ms = loop_now_ms(world->loop);

    assert_false(signs(world, "submission"));
    assert_true(loop_now_ms(world->loop) - before_ms < 10 * 1000);
}

static void without_any_the_wait_is_short(void **state)
{
    struct world *world = *state;

    play(world, play_alone);
}

/* ---- what breaks the rules ---- */

struct hostile {
    struct world *world;
    struct channel *channel;
    bool is_closed;
};

static bool received(void *owner, struct channel *channel, uint16_t number, struct str payload)
{
    (void)owner, (void)channel, (void)number, (void)payload;
    return true;
}

static void closed(void *owner, struct channel *channel, const char *reason)
{
    struct hostile *hostile = owner;

    (void)channel, (void)reason;
    hostile->is_closed = true;
    loop_stop(hostile->world->loop);
}

static void expired(struct timer *timer)
{
    (void)timer;
    fail_msg("the channel is still there");
}

static void expect_closed(struct world *world, struct keys_side *side,
                          const struct wire_keys_use *use, const struct wire_keys_chain *chain)
{
    static const struct channel_events events = { received, closed };
    struct hostile hostile = { .world = world };
    struct timer patience = { 0 };
    struct error error;
    int pair[2];

    ensure(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    assert_true(keys_side_add(side, pair[0], &error));
    hostile.channel = channel_new(world->loop, pair[1], &events, &hostile, &error);
    ensure(hostile.channel != NULL);
    if (use != NULL)
        wire_send_keys_use(hostile.channel, use);
    else
        wire_send_keys_chain(hostile.channel, chain);
    timer_set(world->loop, &patience, loop_now_ms(world->loop) + 20 * 1000, expired);
    loop_run(world->loop);
    timer_clear(world->loop, &patience);
    assert_true(hostile.is_closed);
    channel_free(&hostile.channel);
}

static void what_breaks_the_rules_ends_its_channel(void **state)
{
    static char room[TLS_KEY_TEXT_MAX + 1];
    struct world *world = *state;
    struct str key = str_of((const char *)world->key, sizeof world->key);
    struct str service = STR("submission");
    const struct wire_keys_use uses[] = {
        { .service = service, .key = str_take(key, 31), .use = TLS_KEY_FIND },
        { .service = service, .key = key, .use = TLS_KEY_USES },
        { .service = service, .key = key, .use = TLS_KEY_SIGN, .digest = TLS_KEY_DIGEST_COUNT },
        { .service = service, .key = key, .text = str_of(room, sizeof room) },
        { .service = str_of(room, 256), .key = key },
    };
    const struct wire_keys_chain chain = { .service = service,
                                           .maps = STR("hash:x"),
                                           .name = STR("y") };
    const struct wire_keys_chain long_name = { .service = service,
                                               .maps = STR("hash:x"),
                                               .name = str_of(room, 256) };

    for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++)
        expect_closed(world, &world->newer.smtpd, &uses[i], NULL);
    expect_closed(world, &world->newer.smtp, NULL, &chain);
    expect_closed(world, &world->newer.smtpd, NULL, &long_name);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_service_uses_its_own_key_alone),
        TEST(a_worker_of_smtp_cannot_use_a_key_of_smtpd),
        TEST(a_key_that_the_successor_lacks_is_the_predecessor_s),
        TEST(those_who_come_after_the_end_began_do_not_count),
        TEST(without_any_the_wait_is_short),
        TEST(what_breaks_the_rules_ends_its_channel),
    };

    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
