/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers questions about addresses from a configuration, for comparisons with Postfix: a line in, a
 * line out, fields separated by tabs, addresses in internal form.
 *
 *   external ADDRESS               its external form
 *   rewrite ADDRESS                standard form, in external form
 *   resolve SENDER RECIPIENT       "class transport nexthop address", "bad" or "fail"
 *   clean SENDER RECIPIENT…        "sender recipient original recipient original…" or the reply
 *   header local|remote HEADER     the header after cleanup ("|" stands for a line end)
 */
#include "base/list.h"
#include "mail/address.h"
#include "mail/cleanup.h"
#include "mail/route.h"

#include <stdio.h>
#include <stdlib.h>

enum { FIELDS_MAX = 2000 };

struct probe {
    struct config *config;
    struct own_addresses *own;
    struct router *router;
    struct cleanup *cleanup;
    struct arena arena; /* one question's */
};

static void warn(void *argument, const char *text)
{
    fprintf(stderr, "%s\n", text);
}

static void put_external(struct str address)
{
    autofree_buf struct buf text = { 0 };

    address_format(address, &text);
    fwrite(text.ptr, 1, text.len, stdout);
}

static void on_resolve(struct probe *probe, struct str sender, struct str recipient)
{
    static const char *const names[] = { "local", "alias", "virtual", "relay", "default" };
    struct route route;
    struct error error;

    if (!router_find(probe->router, &probe->arena, sender, recipient, &route, &error))
        printf("fail");
    else if (route.is_bad)
        printf("bad");
    else
        printf("%s\t%.*s\t%.*s\t%.*s", names[route.address_class], STR_ARGS(route.transport),
               STR_ARGS(route.nexthop), STR_ARGS(route.address));
}

static void on_clean(struct probe *probe, const struct str *fields, size_t count)
{
    struct rewrite_rules rules = rewrite_rules_from(probe->config);
    struct envelope envelope = { .sender = rewrite_address(&probe->arena, &rules, fields[0]) };
    autofree_buf struct buf out = { 0 };
    struct cleanup_message message = {
        .arena = &probe->arena,
        .envelope = &envelope,
        .queue_id = STR("ID"),
        .parts = cleanup_external_parts(probe->config),
        .origin = HEADERS_REMOTE,
    };

    for (size_t i = 1; i < count; i++) {
        struct recipient recipient = {
            .address = rewrite_address(&probe->arena, &rules, fields[i]),
        };
        if (!str_equal(recipient.address, fields[i]))
            recipient.original_recipient = fields[i];
        envelope_add_recipient(&probe->arena, &envelope, &recipient);
    }
    if (cleanup_run(probe->cleanup, &message, STR("\r\n"), &out) == CLEANUP_REFUSED) {
        printf("%u %s %.*s", message.reply_code, message.reply_enhanced,
               STR_ARGS(message.reply_text));
        return;
    }
    put_external(envelope.sender);
    for (size_t i = 0; i < envelope.recipient_count; i++) {
        putchar('\t');
        put_external(envelope.recipients[i].address);
        putchar('\t');
        put_external(envelope.recipients[i].original_recipient);
    }
}

static void on_header(struct probe *probe, struct str origin, struct str text)
{
    struct envelope envelope = { .sender = STR("") };
    autofree_buf struct buf given = { 0 }, out = { 0 };
    struct cleanup_message message = {
        .arena = &probe->arena,
        .envelope = &envelope,
        .queue_id = STR("ID"),
        .parts = CLEANUP_MAPS,
        .origin = str_equal(origin, STR("local")) ? HEADERS_LOCAL : HEADERS_REMOTE,
    };

    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '|')
            buf_append(&given, STR("\r\n"));
        else
            buf_append_byte(&given, text.ptr[i]);
    buf_append(&given, STR("\r\nX-End: 1\r\n\r\n"));
    if (cleanup_run(probe->cleanup, &message, buf_str(&given), &out) == CLEANUP_REFUSED) {
        printf("refused");
        return;
    }
    struct str end = str_take(buf_str(&out), (size_t)str_find(buf_str(&out), STR("\r\nX-End:")));
    for (size_t i = 0; i < end.len; i++)
        if (end.ptr[i] != '\r')
            putchar(end.ptr[i] == '\n' ? '|' : end.ptr[i]);
}

static void answer(struct probe *probe, struct str line)
{
    struct str fields[FIELDS_MAX];
    size_t count = 0;

    while (count < FIELDS_MAX) {
        bool is_text = count == 2 && str_equal(fields[0], STR("header"));
        ptrdiff_t tab = is_text ? -1 : str_find_byte(line, '\t');
        fields[count++] = tab < 0 ? line : str_take(line, (size_t)tab);
        if (tab < 0)
            break;
        line = str_skip(line, (size_t)tab + 1);
    }
    if (count == 2 && str_equal(fields[0], STR("external"))) {
        put_external(fields[1]);
    } else if (count == 2 && str_equal(fields[0], STR("rewrite"))) {
        struct rewrite_rules rules = rewrite_rules_from(probe->config);
        put_external(rewrite_address(&probe->arena, &rules, fields[1]));
    } else if (count == 3 && str_equal(fields[0], STR("resolve"))) {
        on_resolve(probe, fields[1], fields[2]);
    } else if (count >= 3 && str_equal(fields[0], STR("clean"))) {
        on_clean(probe, fields + 1, count - 1);
    } else if (count == 3 && str_equal(fields[0], STR("header"))) {
        on_header(probe, fields[1], fields[2]);
    } else {
        printf("what?");
    }
    putchar('\n');
    fflush(stdout);
    arena_clear(&probe->arena);
}

static bool probe_open(struct probe *probe, const char *folder, struct error *error)
{
    static struct config_source source;

    if (!config_source_read(folder, NULL, NULL, &source, error))
        return false;
    probe->config = config_new(&source, NULL, warn, NULL, error);
    if (probe->config == NULL)
        return false;
    probe->own = own_addresses_new(probe->config->inet_interfaces, probe->config->proxy_interfaces,
                                   error);
    if (probe->own == NULL)
        return false;
    struct route_settings settings = route_settings_from(probe->config, probe->own);
    struct cleanup_options options = {
        .config = probe->config,
        .own = probe->own,
        .log = { log_new_stderr(), STR("probe") },
    };
    probe->router = router_new(&settings, NULL, warn, NULL, error);
    probe->cleanup = cleanup_new(&options, error);
    return probe->router != NULL && probe->cleanup != NULL;
}

int main(int argc, char **argv)
{
    struct probe probe = { 0 };
    struct error error = { 0 };
    char *line = NULL;
    size_t size = 0;
    ssize_t len;

    if (argc != 2 || !probe_open(&probe, argv[1], &error)) {
        fprintf(stderr, "usage: rewriting-probe config_directory: %s\n", error.message);
        return 1;
    }
    while ((len = getline(&line, &size, stdin)) > 0)
        answer(&probe, str_of(line, (size_t)len - 1));
    free(line);
    router_free(&probe.router);
    cleanup_free(&probe.cleanup);
    own_addresses_free(&probe.own);
    config_free(&probe.config);
    return 0;
}
