/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include "mailbox.h"

#include <unistd.h>

struct word_bit {
    const char *word;
    unsigned bit;
};

static const struct word_bit origins[] = {
    { "alias", ORIGIN_ALIAS },
    { "forward", ORIGIN_FORWARD },
    { "include", ORIGIN_INCLUDE },
    { "canonical", 0 },
    { "virtual", 0 },
    { "generic", 0 },
    { NULL, 0 },
};
static const struct word_bit delivered[] = {
    { "command", DELIVERED_FOR_COMMAND },
    { "file", DELIVERED_FOR_FILE },
    { "forward", DELIVERED_FOR_FORWARD },
    { NULL, 0 },
};

static void refuse(struct agents *agents, struct agent *agent, const char *reason)
{
    if (agent->refusal != NULL)
        return;
    agent->refusal = arena_text(&agents->arena, str_from(reason));
    log_warning(&agent->log, "service %.*s: %s; its mail waits", STR_ARGS(agent->name), reason);
}

static unsigned parse_words(struct agents *agents, struct agent *agent, const char *parameter,
                            struct str text, const struct word_bit *known)
{
    unsigned bits = 0;
    struct str word;

    while (str_next_word(&text, ", \t\r\n", &word)) {
        const struct word_bit *each = known;
        while (each->word != NULL && !str_equal_fold(word, str_from(each->word)))
            each++;
        if (each->word == NULL)
            refuse(agents, agent,
                   arena_printf(&agents->arena, "%s: \"%.*s\" is none of the words it may have",
                                parameter, STR_ARGS(word)));
        bits |= each->bit;
    }
    return bits;
}

static void find_default_rights(struct agents *agents, struct agent *agent)
{
    struct user user;
    struct error error = { 0 };

    if (user_find(&agents->arena, agent->config->default_privs, &user, &error) != USER_FOUND ||
        user.rights.uid == 0 || user.rights.gid == 0)
        log_warning(&agent->log, "default_privs = %.*s is no user without privileges",
                    STR_ARGS(agent->config->default_privs));
    else
        agent->default_rights = user.rights;
}

/* What is forwarded is looked at as all new mail is. */
static bool open_routing(struct agent *agent, const struct own_addresses *own_addresses,
                         struct error *error)
{
    struct route_settings route = route_settings_from(agent->config, own_addresses);
    struct cleanup_options cleanup = {
        .config = agent->config,
        .own = own_addresses,
        .log = agent->cleanup_log,
    };

    agent->router = router_new(&route, NULL, NULL, NULL, error);
    agent->cleanup = agent->router != NULL ? cleanup_new(&cleanup, error) : NULL;
    return agent->cleanup != NULL;
}

static void open_local(struct agents *agents, struct agent *agent,
                       const struct own_addresses *own_addresses)
{
    const struct config *config = agent->config;
    struct error error = { 0 };

    agent->alias_maps = maps_new("alias_maps", config->alias_maps, &agent->log);
    agent->mailbox_command_maps =
        maps_new("mailbox_command_maps", config->mailbox_command_maps, &agent->log);
    agent->mailbox_transport_maps =
        maps_new("mailbox_transport_maps", config->mailbox_transport_maps, &agent->log);
    agent->fallback_transport_maps =
        maps_new("fallback_transport_maps", config->fallback_transport_maps, &agent->log);
    agent->commands_from = parse_words(agents, agent, "allow_mail_to_commands",
                                       config->allow_mail_to_commands, origins);
    agent->files_from =
        parse_words(agents, agent, "allow_mail_to_files", config->allow_mail_to_files, origins);
    agent->propagates_for = parse_words(agents, agent, "propagate_unmatched_extensions",
                                        config->propagate_unmatched_extensions, origins);
    agent->delivered_for = parse_words(agents, agent, "prepend_delivered_header",
                                       config->prepend_delivered_header, delivered);
    if (!mailbox_locks_parse(config->mailbox_delivery_lock, &agent->locks))
        refuse(agents, agent,
               "parameter mailbox_delivery_lock specifies no applicable mailbox "
               "locking method");
    find_default_rights(agents, agent);
    if (!open_routing(agent, own_addresses, &error))
        refuse(agents, agent, error.message);
}

static void open_virtual(struct agents *agents, struct agent *agent)
{
    const struct config *config = agent->config;

    agent->virtual_mailbox_maps =
        maps_new("virtual_mailbox_maps", config->virtual_mailbox_maps, &agent->log);
    agent->virtual_uid_maps = maps_new("virtual_uid_maps", config->virtual_uid_maps, &agent->log);
    agent->virtual_gid_maps = maps_new("virtual_gid_maps", config->virtual_gid_maps, &agent->log);
    if (!mailbox_locks_parse(config->virtual_mailbox_lock, &agent->locks))
        refuse(agents, agent,
               "parameter virtual_mailbox_lock specifies no applicable mailbox "
               "locking method");
    agent->delivered_for = DELIVERED_FOR_FILE;
}

static void open_pipe(struct agents *agents, struct agent *agent,
                      const struct master_service *service)
{
    struct error error = { 0 };

    if (!pipe_settings_parse(&agents->arena, service->arguments, service->argument_count,
                             &agent->pipe, &error) ||
        !pipe_settings_find_user(&agent->pipe, agent->config, &error))
        refuse(agents, agent, error.message);
}

static void add(struct agents *agents, const struct config_source *source,
                const struct master_service *service, struct agent *agent)
{
    struct error error = { 0 };

    agent->name = arena_copy(&agents->arena, service->name);
    agent->config = config_new(source, service, NULL, NULL, &error);
    if (agent->config == NULL)
        refuse(agents, agent, error.message);
    map_set(agents->by_name, agent->name, agent);
}

static void warn(void *argument, const char *text)
{
    const struct agent *agent = argument;

    log_warning(&agent->log, "%s", text);
}

static void open_status_filter(struct agent *agent)
{
    const struct config *config = agent->config;
    const struct {
        const char *name;
        struct str text;
    } filters[] = {
        [AGENT_LOCAL] = { "local_delivery_status_filter", config->local_delivery_status_filter },
        [AGENT_VIRTUAL] = { "virtual_delivery_status_filter",
                            config->virtual_delivery_status_filter },
        [AGENT_PIPE] = { "pipe_delivery_status_filter", config->pipe_delivery_status_filter },
    };
    struct table_options options = { .warning = warn, .argument = agent };

    agent->status_filter = table_list_new(str_from(filters[agent->kind].name),
                                          filters[agent->kind].text, &options, NULL);
}

static void open_agent(struct agents *agents, struct agent *agent,
                       const struct own_addresses *own_addresses, struct log *log)
{
    const struct config *config = agent->config;
    struct str syslog_name = config->syslog_name;

    agent->log.tag = str_from(arena_printf(&agents->arena, "%.*s/%.*s", STR_ARGS(syslog_name),
                                           STR_ARGS(config->service->command)));
    agent->cleanup_log = (struct log_context){
        log, str_from(arena_printf(&agents->arena, "%.*s/cleanup", STR_ARGS(syslog_name)))
    };
    char host_name[256] = "localhost";
    (void)!gethostname(host_name, sizeof host_name - 1);
    agent->host_name = arena_text(&agents->arena, str_from(host_name));
    if (config->service->is_chrooted)
        refuse(agents, agent, "a root directory of its own (chroot): not yet");
    open_status_filter(agent);
    switch (agent->kind) {
    case AGENT_LOCAL:
        open_local(agents, agent, own_addresses);
        break;
    case AGENT_VIRTUAL:
        open_virtual(agents, agent);
        break;
    case AGENT_PIPE:
        open_pipe(agents, agent, config->service);
        break;
    }
}

void agents_init(struct agents *agents, const struct config_source *source,
                 const struct own_addresses *own_addresses, struct log *log)
{
    static const struct {
        struct str command;
        enum agent_kind kind;
    } kinds[] = { { STR_INIT("local"), AGENT_LOCAL },
                  { STR_INIT("virtual"), AGENT_VIRTUAL },
                  { STR_INIT("pipe"), AGENT_PIPE } };

    *agents = (struct agents){ .by_name = map_new() };
    for (size_t i = 0; i < source->master_cf.count; i++) {
        const struct master_service *service = &source->master_cf.services[i];
        for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
            if (service->type != SERVICE_UNIX || !str_equal(service->command, kinds[kind].command))
                continue;
            struct agent *agent = arena_new(&agents->arena, sizeof *agent);
            agent->kind = kinds[kind].kind;
            agent->log = (struct log_context){ log, kinds[kind].command };
            add(agents, source, service, agent);
            if (agent->config != NULL)
                open_agent(agents, agent, own_addresses, log);
        }
    }
}

void agents_clear(struct agents *agents)
{
    struct map_cursor cursor = { 0 };

    while (agents->by_name != NULL && map_next(agents->by_name, &cursor)) {
        struct agent *agent = cursor.value;
        maps_free(&agent->alias_maps);
        maps_free(&agent->mailbox_command_maps);
        maps_free(&agent->mailbox_transport_maps);
        maps_free(&agent->fallback_transport_maps);
        table_list_free(&agent->status_filter);
        maps_free(&agent->virtual_mailbox_maps);
        maps_free(&agent->virtual_uid_maps);
        maps_free(&agent->virtual_gid_maps);
        if (agent->cleanup != NULL)
            cleanup_free(&agent->cleanup);
        router_free(&agent->router);
        config_free(&agent->config);
    }
    map_free(&agents->by_name);
    arena_clear(&agents->arena);
}

bool agents_change_roots(const struct agents *agents)
{
    struct map_cursor cursor = { 0 };
    bool is_any = false;

    while (!is_any && map_next(agents->by_name, &cursor))
        is_any = ((const struct agent *)cursor.value)->pipe.root.len > 0;
    return is_any;
}

const struct agent *agents_find(const struct agents *agents, struct str name)
{
    return map_find(agents->by_name, name);
}
