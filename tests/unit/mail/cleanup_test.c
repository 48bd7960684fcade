/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* A configuration and its cleanup. */
struct world {
    char folder[64];
    struct config_source source;
    struct config *config;
    struct cleanup *cleanup;
    struct log *log;
    struct arena arena;
    struct envelope envelope;
    struct cleanup_message message;
};

static void world_open(struct world *world, const char *parameters)
{
    struct error error = { 0 };
    char path[96];

    *world = (struct world){ .folder = "/tmp/cleanup-test-XXXXXX" };
    assert_non_null(mkdtemp(world->folder));
    snprintf(path, sizeof path, "%s/main.cf", world->folder);
    FILE *file = fopen(path, "w");
    fprintf(file,
            "compatibility_level = 3.6\nmyhostname = mx.example.org\n"
            "mydestination = mx.example.org, localhost\nrecipient_delimiter = +\n%s",
            parameters);
    fclose(file);
    snprintf(path, sizeof path, "%s/master.cf", world->folder);
    fclose(fopen(path, "w"));
    if (!config_source_read(world->folder, NULL, NULL, &world->source, &error))
        fail_msg("%s", error.message);
    world->config = config_new(&world->source, NULL, NULL, NULL, &error);
    if (world->config == NULL)
        fail_msg("%s", error.message);
    world->log = log_new_stderr();
    struct cleanup_options options = { .config = world->config,
                                       .log = { world->log, STR("cleanup") } };
    world->cleanup = cleanup_new(&options, &error);
    if (world->cleanup == NULL)
        fail_msg("%s", error.message);
}

static void world_close(struct world *world)
{
    char path[96];

    cleanup_free(&world->cleanup);
    config_free(&world->config);
    config_source_free(&world->source);
    log_free(&world->log);
    arena_clear(&world->arena);
    snprintf(path, sizeof path, "%s/main.cf", world->folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/master.cf", world->folder);
    unlink(path);
    rmdir(world->folder);
}

/* Recipients are separated by blanks. The headers go to `out`. */
static enum cleanup_outcome world_run(struct world *world, const char *sender,
                                      const char *recipients, const char *headers, struct buf *out)
{
    struct str rest = str_from(recipients), word;

    arena_clear(&world->arena);
    world->envelope = (struct envelope){ .sender = str_from(sender) };
    while (str_next_word(&rest, " ", &word))
        envelope_add_recipient(&world->arena, &world->envelope,
                               &(struct recipient){ .address = word });
    world->message = (struct cleanup_message){
        .arena = &world->arena,
        .envelope = &world->envelope,
        .queue_id = STR("4F0C"),
        .parts = cleanup_external_parts(world->config),
        .origin = HEADERS_LOCAL,
    };
    return cleanup_run(world->cleanup, &world->message, str_from(headers), out);
}

/* "sender: recipient(original) recipient" */
static void describe(const struct world *world, struct buf *out)
{
    const struct envelope *envelope = &world->envelope;

    buf_append(out, envelope->sender);
    buf_append_byte(out, ':');
    for (size_t i = 0; i < envelope->recipient_count; i++) {
        const struct recipient *recipient = &envelope->recipients[i];
        buf_printf(out, " %.*s", STR_ARGS(recipient->address));
        if (recipient->original_recipient.len > 0)
            buf_printf(out, "(%.*s)", STR_ARGS(recipient->original_recipient));
    }
}

#define ALIASES                                                                                    \
    "virtual_alias_maps = inline:{ {a@v.ex=a@v.ex, b@w.ex}, {@v.ex=catch@w.ex}, {luser=u@w.ex}, "  \
    "{e@v.ex=e@w.ex, f@w.ex}, {m@v.ex=n@v.ex, o@w.ex}, {n@v.ex=o@w.ex}, {@z.ex=@w.ex}, "           \
    "{two@v.ex=x@w.ex y@w.ex} }\n"
#define CANONICALS                                                                                 \
    "canonical_maps = inline:{ {c1@c.ex=c2@c.ex}, {c2@c.ex=c3@c.ex}, {@cat.ex=@dog.ex}, "          \
    "{c@c.ex=cc} }\n"

static void envelopes_are_mapped_in_postfix_s_order(void **state)
{
    static const struct {
        const char *parameters, *sender, *recipients, *outcome;
    } cases[] = {
        { "", "s@s.ex", "r@r.ex", "s@s.ex: r@r.ex" },
        { ALIASES, "", "a@v.ex other@v.ex", ": a@v.ex b@w.ex(a@v.ex) catch@w.ex(other@v.ex)" },
        { ALIASES, "", "luser+x@localhost p+e@z.ex",
          ": u+x@w.ex(luser+x@localhost) p+e@w.ex(p+e@z.ex)" },
        { ALIASES, "", "e+y@v.ex", ": e+y@w.ex(e+y@v.ex) f+y@w.ex(e+y@v.ex)" },
        { ALIASES "propagate_unmatched_extensions =\n", "", "e+y@v.ex",
          ": e@w.ex(e+y@v.ex) f@w.ex(e+y@v.ex)" },
        { ALIASES, "", "m@v.ex", ": o@w.ex(m@v.ex)" }, /* twice the same, once sent */
        { ALIASES, "", "two@v.ex", ": x@w.ex(two@v.ex) y@w.ex(two@v.ex)" },
        { ALIASES, "", "n@v.ex o@w.ex", ": o@w.ex(n@v.ex) o@w.ex" },
        { ALIASES "enable_original_recipient = no\n", "", "n@v.ex o@w.ex", ": o@w.ex(n@v.ex)" },
        { CANONICALS, "c1@c.ex", "u+e@cat.ex c+e@c.ex",
          "c3@c.ex: u+e@dog.ex(u+e@cat.ex) cc+e@mx.example.org(c+e@c.ex)" },
        { CANONICALS "canonical_classes = envelope_sender\n", "c1@c.ex", "c1@c.ex",
          "c3@c.ex: c1@c.ex" },
        { CANONICALS ALIASES "receive_override_options = no_address_mappings\n", "c1@c.ex",
          "a@v.ex", "c1@c.ex: a@v.ex" },
        { "sender_canonical_maps = inline:{ a@a.ex=s@a.ex }\n"
          "recipient_canonical_maps = inline:{ a@a.ex=r@a.ex }\n",
          "a@a.ex", "a@a.ex", "s@a.ex: r@a.ex(a@a.ex)" },
        { "masquerade_domains = !keep.m.ex m.ex\nmasquerade_exceptions = root\n", "u@h.m.ex",
          "u@h.m.ex", "u@m.ex: u@h.m.ex" },
        { "masquerade_domains = !keep.m.ex m.ex\nmasquerade_exceptions = root\n", "u@x.keep.m.ex",
          "r@r.ex", "u@x.keep.m.ex: r@r.ex" },
        { "masquerade_domains = m.ex\nmasquerade_exceptions = root\n", "root@h.m.ex", "r@r.ex",
          "root@h.m.ex: r@r.ex" },
        { "always_bcc = all@bcc.ex\nsender_bcc_maps = inline:{ @s.ex=s@bcc.ex }\n"
          "recipient_bcc_maps = inline:{ r@r.ex=v@v.ex }\n" ALIASES,
          "s@s.ex", "r@r.ex", "s@s.ex: s@bcc.ex r@r.ex catch@w.ex(v@v.ex) all@bcc.ex" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct world world;
        autofree_buf struct buf headers = { 0 }, outcome = { 0 };
        world_open(&world, cases[i].parameters);
        assert_int_equal(world_run(&world, cases[i].sender, cases[i].recipients, "\r\n", &headers),
                         CLEANUP_DONE);
        describe(&world, &outcome);
        if (!str_equal(buf_str(&outcome), str_from(cases[i].outcome)))
            fail_msg("case %zu: \"%s\"", i, buf_text(&outcome));
        world_close(&world);
    }
}

static void header_addresses_are_mapped_by_class(void **state)
{
    static const struct {
        const char *parameters, *in, *out;
    } cases[] = {
        { CANONICALS, "From: N <c1@c.ex>\r\nTo: c1@c.ex, a@b.ex\r\n",
          "From: N <c3@c.ex>\r\nTo: c3@c.ex, a@b.ex\r\n" },
        { CANONICALS "canonical_classes = header_sender\n", "From: c1@c.ex\r\nTo: c1@c.ex\r\n",
          "From: c3@c.ex\r\nTo: c1@c.ex\r\n" },
        { "masquerade_domains = m.ex\n", "From: u@h.m.ex\r\nCc: u@h.m.ex\r\n",
          "From: u@m.ex\r\nCc: u@m.ex\r\n" },
        { CANONICALS, "Subject: c1@c.ex\r\n", "Subject: c1@c.ex\r\n" },
        { ALIASES, "To: a@v.ex\r\n", "To: a@v.ex\r\n" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct world world;
        autofree_buf struct buf headers = { 0 };
        world_open(&world, cases[i].parameters);
        assert_int_equal(world_run(&world, "s@s.ex", "r@r.ex", cases[i].in, &headers),
                         CLEANUP_DONE);
        if (!str_starts_with(buf_str(&headers), str_from(cases[i].out)))
            fail_msg("case %zu: \"%s\"", i, buf_text(&headers));
        world_close(&world);
    }
}

/* Never a silent skip: what is not mapped as configured is not queued. */
static void message_that_cannot_be_mapped_is_refused(void **state)
{
    static const struct {
        const char *parameters, *reply;
    } cases[] = {
        { "canonical_maps = fail:x\n", "451 4.3.0 Error: queue file write error" },
        { "virtual_alias_maps = hash:/does/not/exist\n",
          "451 4.3.0 Error: queue file write error" },
        { "recipient_bcc_maps = fail:x\n", "451 4.3.0 Error: queue file write error" },
        { "sender_bcc_maps = fail:x\n", "451 4.3.0 Error: queue file write error" },
        { "virtual_alias_maps = inline:{ {r@r.ex=,} }\n",
          "451 4.3.0 Error: queue file write error" },
        { "virtual_alias_maps = inline:{ {r@r.ex=x@x.ex}, {x@x.ex=r@r.ex} }\n",
          "451 4.6.0 Alias expansion error" },
        { "virtual_alias_maps = inline:{ {r@r.ex=a@b, c@d, e@f} }\n"
          "virtual_alias_expansion_limit = 2\n",
          "451 4.6.0 Alias expansion error" },
        { "virtual_alias_maps = inline:{ {r@r.ex=long@long.ex} }\n"
          "virtual_alias_address_length_limit = 8\n",
          "451 4.6.0 Alias expansion error" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct world world;
        autofree_buf struct buf headers = { 0 }, reply = { 0 };
        world_open(&world, cases[i].parameters);
        assert_int_equal(world_run(&world, "s@s.ex", "r@r.ex", "From: a@b\r\n", &headers),
                         CLEANUP_REFUSED);
        buf_printf(&reply, "%u %s %.*s", world.message.reply_code, world.message.reply_enhanced,
                   STR_ARGS(world.message.reply_text));
        if (!str_equal(buf_str(&reply), str_from(cases[i].reply)))
            fail_msg("case %zu: \"%s\"", i, buf_text(&reply));
        world_close(&world);
    }
}

/* Recipients times aliases: bounded before the envelope is beyond a channel's frame. */
static void expansion_beyond_the_frame_is_refused(void **state)
{
    struct world world;
    autofree_buf struct buf parameters = { 0 }, recipients = { 0 }, headers = { 0 };

    (void)state;
    buf_append_text(&parameters, "virtual_alias_maps = inline:{ {@v.ex=");
    for (int i = 0; i < 900; i++)
        buf_printf(&parameters, "%suser%d@a.rather.long.domain.name.example", i > 0 ? "," : "", i);
    buf_append_text(&parameters, "} }\n");
    for (int i = 0; i < 100; i++)
        buf_printf(&recipients, "r%d@v.ex ", i);
    world_open(&world, buf_text(&parameters));
    assert_int_equal(world_run(&world, "s@s.ex", buf_text(&recipients), "\r\n", &headers),
                     CLEANUP_REFUSED);
    assert_int_equal(world.message.reply_code, 452);
    world_close(&world);
}

static void unknown_class_is_an_error_by_name(void **state)
{
    struct world world;
    struct error error = { 0 };

    (void)state;
    world_open(&world, "");
    struct cleanup_options options = { .config = world.config,
                                       .log = { world.log, STR("cleanup") } };
    world.config->masquerade_classes = STR("header_sender, envelopes");
    assert_null(cleanup_new(&options, &error));
    assert_non_null(strstr(error.message, "masquerade_classes"));
    assert_non_null(strstr(error.message, "envelopes"));
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(envelopes_are_mapped_in_postfix_s_order),
        cmocka_unit_test(header_addresses_are_mapped_by_class),
        cmocka_unit_test(message_that_cannot_be_mapped_is_refused),
        cmocka_unit_test(expansion_beyond_the_frame_is_refused),
        cmocka_unit_test(unknown_class_is_an_error_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
