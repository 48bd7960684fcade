/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include "base/memory.h"

static void warn(void *argument, const char *text)
{
    const struct settings *settings = argument;

    log_warning(&settings->speakers[SPEAKER_QMGR], "%s", text);
}

static bool make_router(struct settings *settings, const struct settings *old,
                        const struct own_addresses *own_addresses, struct error *error)
{
    struct route_settings route = route_settings_from(settings->config, own_addresses);

    settings->router = router_new(&route, old != NULL ? old->router : NULL, warn, settings, error);
    if (settings->router == NULL || !route_settings_for_probes(settings->config, &route)) {
        settings->probe_router = settings->router;
        return settings->router != NULL;
    }
    struct router *lender =
        old != NULL && old->probe_router != old->router ? old->probe_router : NULL;
    settings->probe_router = router_new(&route, lender, warn, settings, error);
    return settings->probe_router != NULL;
}

static bool make_cleanup(struct settings *settings,
                         const struct settings_surroundings *surroundings, struct error *error)
{
    const struct settings *old = surroundings->old;
    struct cleanup_options options = {
        .config = settings->config,
        .own = surroundings->own_addresses,
        .log = settings->speakers[SPEAKER_CLEANUP],
        .old = old != NULL ? old->cleanup : NULL,
    };

    settings->cleanup = cleanup_new(&options, error);
    return settings->cleanup != NULL;
}

static void name_speakers(struct settings *settings, struct log *log)
{
    static const char *const programs[SPEAKER_COUNT] = {
        [SPEAKER_QMGR] = "qmgr",
        [SPEAKER_BOUNCE] = "bounce",
        [SPEAKER_CLEANUP] = "cleanup",
        [SPEAKER_PICKUP] = "pickup",
    };

    for (int i = 0; i < SPEAKER_COUNT; i++)
        settings->speakers[i] = (struct log_context){
            log, str_from(arena_printf(&settings->arena, "%.*s/%s",
                                       STR_ARGS(settings->config->syslog_name), programs[i]))
        };
}

static void warn_of_template(void *argument, const char *text)
{
    const struct settings *settings = argument;

    log_warning(&settings->speakers[SPEAKER_BOUNCE], "%s", text);
}

static void set_notices(struct settings *settings)
{
    const struct bounce_template_heard heard = { warn_of_template, settings };

    settings->notified = error_classes_parse(settings->config->notify_classes);
    bounce_templates_load(&settings->arena, settings->config, &heard, &settings->templates);
}

struct str settings_double_bounce_address(const struct settings *settings, struct arena *arena)
{
    return str_from(arena_printf(arena, "%.*s@%.*s",
                                 STR_ARGS(settings->config->double_bounce_sender),
                                 STR_ARGS(settings->config->myhostname)));
}

struct settings *settings_new(const struct config_source *source, struct config *config,
                              const struct settings_surroundings *surroundings, struct error *error)
{
    struct log *log = surroundings->log;
    struct settings *settings = memory_new(sizeof *settings);

    settings->source = source;
    settings->config = config;
    settings->log = log;
    settings->minimal_backoff_ms = config->minimal_backoff_time * 1000;
    settings->retry = (struct retry_limits){
        .minimal_backoff_ms = settings->minimal_backoff_ms,
        .maximal_backoff_ms = config->maximal_backoff_time * 1000,
        .lifetime_ms = config->maximal_queue_lifetime * 1000,
        .bounce_lifetime_ms = config->bounce_queue_lifetime * 1000,
        .jitter_percent = config->queue_retry_jitter < 100 ? config->queue_retry_jitter : 100,
    };
    settings->active_limit =
        config->qmgr_message_active_limit > 0 ? (size_t)config->qmgr_message_active_limit : 1;
    settings->recipient_limit = (size_t)config->qmgr_message_recipient_limit;
    settings->recipient_minimum = (size_t)config->qmgr_message_recipient_minimum;
    settings->minfree_bytes = (uint64_t)config->queue_minfree;
    settings->bounce_size_limit = (uint64_t)config->bounce_size_limit;
    settings->has_long_ids = config->enable_long_queue_ids;
    name_speakers(settings, log);
    set_notices(settings);
    settings->rights[USER_RIGHT_FLUSH] =
        user_access_new(config, USER_RIGHT_FLUSH, surroundings->owner_uid);
    settings->rights[USER_RIGHT_VIEW] =
        user_access_new(config, USER_RIGHT_VIEW, surroundings->owner_uid);
    if (!make_router(settings, surroundings->old, surroundings->own_addresses, error) ||
        !make_cleanup(settings, surroundings, error))
        settings_free(&settings);
    return settings;
}

void settings_free(struct settings **settings)
{
    if (*settings == NULL)
        return;
    if ((*settings)->probe_router != (*settings)->router)
        router_free(&(*settings)->probe_router);
    router_free(&(*settings)->router);
    cleanup_free(&(*settings)->cleanup);
    for (int i = 0; i < USER_RIGHT_COUNT; i++)
        user_access_free(&(*settings)->rights[i]);
    arena_clear(&(*settings)->arena);
    memory_free(*settings);
    *settings = NULL;
}

static enum transport_kind kind_of(struct str command)
{
    static const struct {
        struct str command;
        enum transport_kind kind;
    } kinds[] = {
        { STR_INIT("smtp"), TRANSPORT_WORKER }, { STR_INIT("lmtp"), TRANSPORT_WORKER },
        { STR_INIT("error"), TRANSPORT_ERROR }, { STR_INIT("discard"), TRANSPORT_DISCARD },
        { STR_INIT("local"), TRANSPORT_LOCAL }, { STR_INIT("virtual"), TRANSPORT_LOCAL },
        { STR_INIT("pipe"), TRANSPORT_LOCAL },
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (str_equal(command, kinds[i].command))
            return kinds[i].kind;
    return TRANSPORT_UNBUILT;
}

static size_t number_of(const struct settings *settings, struct str name, const char *suffix,
                        size_t fallback)
{
    struct error error = { 0 };
    int64_t value;

    if (config_transport_number(settings->config, name, suffix, &value, &error))
        return value > 0 ? (size_t)value : 0;
    log_warning(&settings->speakers[SPEAKER_QMGR], "%s; using %zu", error.message, fallback);
    return fallback;
}

static int64_t delay_of(const struct settings *settings, struct str name, const char *suffix)
{
    struct error error = { 0 };
    int64_t seconds;

    if (config_transport_number(settings->config, name, suffix, &seconds, &error))
        return seconds * 1000;
    log_warning(&settings->speakers[SPEAKER_QMGR], "%s; using no delay", error.message);
    return 0;
}

static struct feedback feedback_of(const struct settings *settings, struct str name,
                                   const char *suffix)
{
    struct feedback feedback = { .amount = 1 };
    struct error error = { 0 };
    struct str text;

    if (!config_transport_text(settings->config, name, suffix, &text, &error))
        log_warning(&settings->speakers[SPEAKER_QMGR], "%s; using 1", error.message);
    else if (!feedback_parse(text, &feedback))
        log_warning(&settings->speakers[SPEAKER_QMGR],
                    "%.*s_%s = %.*s: write a number from 0 to 1, alone or with \"/ concurrency\" "
                    "or \"/ sqrt_concurrency\" behind it; using 1",
                    STR_ARGS(name), suffix, STR_ARGS(text));
    return feedback;
}

static struct concurrency_limits concurrency_of(const struct settings *settings, struct str name,
                                                bool has_delay)
{
    struct concurrency_limits limits = {
        .initial = number_of(settings, name, "initial_destination_concurrency", 5),
        .limit = number_of(settings, name, "destination_concurrency_limit", 20),
        .cohort_limit =
            (double)number_of(settings, name, "destination_concurrency_failed_cohort_limit", 1),
        .positive = feedback_of(settings, name, "destination_concurrency_positive_feedback"),
        .negative = feedback_of(settings, name, "destination_concurrency_negative_feedback"),
    };

    if (has_delay)
        limits.limit = 1;
    if (limits.initial == 0)
        limits.initial = 1;
    return limits;
}

/* From how many deliveries on a message can be overtaken: one that would earn fewer slots than
 * minimum_delivery_slots is not, as in Postfix. */
static size_t overtaken_from(const struct settings *settings, struct str name)
{
    size_t cost = number_of(settings, name, "delivery_slot_cost", 5);
    size_t slots = number_of(settings, name, "minimum_delivery_slots", 3);

    if (cost == 0)
        return 0;
    return (cost < 2 ? 2 : cost) * (slots > 0 ? slots : 1);
}

static size_t process_limit_of(const struct settings *settings,
                               const struct master_service *service)
{
    if (service == NULL || service->process_limit < 0) /* '-' */
        return settings->config->default_process_limit > 0
                   ? (size_t)settings->config->default_process_limit
                   : 0;
    return (size_t)service->process_limit;
}

/* "postfix/error", or with the line's own syslog_name. */
static struct log_context speaker_of(const struct settings *settings,
                                     const struct master_service *service, struct str command,
                                     struct arena *arena)
{
    struct error error = { 0 };
    struct config *own =
        service != NULL ? config_new(settings->source, service, NULL, NULL, &error) : NULL;
    struct str name = own != NULL ? own->syslog_name : settings->config->syslog_name;
    const char *tag = arena_printf(arena, "%.*s/%.*s", STR_ARGS(name), STR_ARGS(command));

    if (error.message[0] != '\0')
        log_warning(&settings->speakers[SPEAKER_QMGR], "transport %.*s: %s",
                    STR_ARGS(service->name), error.message);
    config_free(&own);
    return (struct log_context){ settings->log, str_from(tag) };
}

/* The program behind Postfix's error and retry goes by the service's name, and knows no other. */
static enum transport_kind error_kind_of(struct str name)
{
    if (str_equal(name, STR("error")))
        return TRANSPORT_ERROR;
    return str_equal(name, STR("retry")) ? TRANSPORT_RETRY : TRANSPORT_UNKNOWN;
}

struct transport_settings settings_transport(const struct settings *settings, struct str name,
                                             struct arena *arena)
{
    const struct master_service *service =
        master_cf_find(&settings->source->master_cf, name, SERVICE_UNIX);
    struct str command = service != NULL ? service->command : STR("error");
    struct transport_settings transport = {
        .kind = service != NULL ? kind_of(command) : TRANSPORT_UNKNOWN,
        .process_limit = process_limit_of(settings, service),
        .recipient_limit = number_of(settings, name, "destination_recipient_limit", 50),
        .destination_delay_ms = delay_of(settings, name, "destination_rate_delay"),
        .transport_delay_ms = delay_of(settings, name, "transport_rate_delay"),
        .overtaken_from = overtaken_from(settings, name),
        .is_deferred = str_list_has(settings->config->defer_transports, name),
        .speaker = speaker_of(settings, service, command, arena),
    };

    if (str_equal(name, STR(TRANSPORT_NOWHERE))) {
        transport.kind = TRANSPORT_DISCARD;
        transport.speaker = settings->speakers[SPEAKER_QMGR];
    }
    transport.concurrency = concurrency_of(settings, name, transport.destination_delay_ms > 0);
    if (transport.kind == TRANSPORT_ERROR)
        transport.kind = error_kind_of(name);
    return transport;
}
