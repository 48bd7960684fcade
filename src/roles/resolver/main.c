/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resolver role: one DNS cache for the whole relay. It asks the name servers of resolv.conf
 * (or dns_servers), knows /etc/hosts, and answers smtpd and smtp workers over wire/resolve.def.
 * It opens its files at start and nothing after that.
 */
#include "confine.h"
#include "engine.h"
#include "peer.h"

#include "base/memory.h"
#include "config/twins.h"
#include "roles.h"

struct resolver {
    struct engine *engine;
    struct peers peers;
};

static void log_engine_warning(void *argument, const char *text)
{
    const struct log_context *context = argument;

    log_warning(context, "%s", text);
}

/* Whether a transport's answers are to be validated. */
static bool wants_dnssec(const struct config_source *source, const struct master_service *service)
{
    bool is_lmtp = str_equal(service->command, STR("lmtp"));
    struct error error;

    if (!is_lmtp && !str_equal(service->command, STR("smtp")))
        return false;
    struct config *config = config_new(source, service, NULL, NULL, &error);
    if (config == NULL)
        return false; /* its worker says what is wrong */
    if (is_lmtp)
        config_use_lmtp(config);
    bool is_wanted = str_equal_fold(config->smtp_dns_support_level, STR("dnssec"));
    config_free(&config);
    return is_wanted;
}

static bool any_wants_dnssec(const struct config_source *source)
{
    for (size_t i = 0; i < source->master_cf.count; i++) {
        if (wants_dnssec(source, &source->master_cf.services[i]))
            return true;
    }
    return false;
}

static bool resolver_start(struct service *service, struct error *error)
{
    struct resolver *resolver = memory_new(sizeof *resolver);
    struct engine_options options = {
        .dns_servers = service->config->dns_servers,
        .resolv_conf = "/etc/resolv.conf",
        .hosts = "/etc/hosts",
        .validates = any_wants_dnssec(service->source),
        .trust_anchor_file = service->config->dnssec_trust_anchor_file,
        .warning = log_engine_warning,
        .argument = &service->log_context,
    };

    service->state = resolver;
    resolver->engine = engine_new(service->loop, &options, error);
    peers_init(&resolver->peers, service->loop, resolver->engine, &service->log_context);
    return resolver->engine != NULL;
}

static bool resolver_peer(struct service *service, struct str role, uint32_t worker, int fd,
                          struct error *error)
{
    struct resolver *resolver = service->state;

    (void)worker; /* an older channel of the same worker closes by itself */
    return peers_add(&resolver->peers, str_equal(role, STR("smtp")), fd, error);
}

static void resolver_status(struct service *service, struct buf *out)
{
    const struct resolver *resolver = service->state;

    buf_printf(out, "questions: %llu since start, %llu failed, %zu open, %zu being asked\n",
               (unsigned long long)resolver->peers.question_count,
               (unsigned long long)resolver->peers.failure_count, resolver->peers.open_count,
               resolver->peers.asked_count);
}

static void resolver_stop(struct service *service)
{
    struct resolver *resolver = service->state;

    if (resolver == NULL)
        return;
    peers_clear(&resolver->peers);
    engine_free(&resolver->engine);
    memory_free(resolver);
    service->state = NULL;
}

const struct role resolver_role = {
    .name = "resolver",
    .log_name = "resolver",
    .start = resolver_start,
    .confine = resolver_confine,
    .peer = resolver_peer,
    .status = resolver_status,
    .stop = resolver_stop,
};
