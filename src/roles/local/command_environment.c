/* SPDX-License-Identifier: Apache-2.0 */
#include "command_environment.h"

#include "macro.h"
#include "service/environment.h"

#include <paths.h>
#include <stdlib.h>

enum { VARIABLES_MAX = 100 };

struct environment {
    struct arena *arena;
    struct str filter;
    const char **items;
    size_t count;
};

static void put(struct environment *environment, const char *name, struct str value)
{
    autofree_buf struct buf text = { 0 };

    if (environment->count == VARIABLES_MAX)
        return;
    buf_printf(&text, "%s=", name);
    buf_append(&text, value);
    environment->items[environment->count++] = arena_text(environment->arena, buf_str(&text));
}

/* What came from outside. */
static void put_filtered(struct environment *environment, const char *name, struct str value)
{
    autofree_buf struct buf filtered = { 0 };

    if (value.len == 0)
        return;
    macro_filter(value, environment->filter, &filtered);
    put(environment, name, buf_str(&filtered));
}

/* A name, or name=value. */
bool command_exported(const struct config *config, struct arena *arena, struct str word,
                      const char **assignment)
{
    if (str_find_byte(word, '=') >= 0) {
        *assignment = arena_text(arena, word);
        return true;
    }
    const char *value = str_equal(word, STR("MAIL_CONFIG"))
                            ? arena_text(arena, config->source->folder)
                            : getenv(arena_text(arena, word));
    if (value == NULL)
        return false;
    *assignment = arena_printf(arena, "%.*s=%s", STR_ARGS(word), value);
    return true;
}

static void put_exported(struct environment *environment, const struct config *config)
{
    struct str list = config->export_environment, word;

    while (environment->count < VARIABLES_MAX && environment_next(&list, &word))
        environment->count += command_exported(config, environment->arena, word,
                                               &environment->items[environment->count]);
}

const char *const *command_environment(struct delivery *delivery, size_t recipient,
                                       const struct command_names *names)
{
    const struct config *config = delivery->agent->config;
    const struct envelope *envelope = &delivery->job.envelope;
    struct environment environment = { .arena = &delivery->job.arena,
                                       .filter = config->command_expansion_filter };

    environment.items =
        arena_new_array(&delivery->job.arena, VARIABLES_MAX + 1, sizeof *environment.items);
    put(&environment, "PATH", STR(_PATH_DEFPATH));
    put_exported(&environment, config);
    if (names->home != NULL) {
        put(&environment, "HOME", str_from(names->home));
        put(&environment, "SHELL", str_from(names->shell));
    }
    put_filtered(&environment, "LOGNAME", names->user);
    put_filtered(&environment, "USER", names->user);
    put_filtered(&environment, "DOMAIN", names->domain);
    put_filtered(&environment, "LOCAL", names->local);
    put_filtered(&environment, "EXTENSION", names->extension);
    put_filtered(&environment, "RECIPIENT", names->recipient);
    put_filtered(&environment, "ORIGINAL_RECIPIENT", delivery_original(delivery, recipient));
    put_filtered(&environment, "SENDER",
                 names->sender.len > 0 ? names->sender : STR("MAILER-DAEMON"));
    put_filtered(&environment, "CLIENT_ADDRESS", envelope->client_address);
    put_filtered(&environment, "CLIENT_HOSTNAME", envelope->client_name);
    put_filtered(&environment, "CLIENT_HELO", envelope->helo_name);
    put_filtered(&environment, "CLIENT_PROTOCOL", envelope->protocol);
    put_filtered(&environment, "SASL_USERNAME", envelope->sasl_username);
    return environment.items;
}
