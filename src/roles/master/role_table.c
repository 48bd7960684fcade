/* SPDX-License-Identifier: Apache-2.0 */
#include "role_table.h"

#include "config/twins.h"
#include "net/tls_files.h"
#include "service/login_cache.h"
#include "table/table_files.h"

#include <unistd.h>

static int one(const struct config *config)
{
    (void)config;
    return 1;
}

/* One for every two cores: the queue and the kernel want some of them too, and a process that is
 * kept busy does more with a core than two that are woken up in turn. */
static int workers(int wanted)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int count = wanted > 0 ? wanted : (int)(cores + 1) / 2;

    return count < 1 ? 1 : count > WORKERS_MAX ? WORKERS_MAX : count;
}

static int smtpd_workers(const struct config *config)
{
    return workers(config->waypost_smtpd_workers);
}

static int smtp_workers(const struct config *config)
{
    return workers(config->waypost_smtp_workers);
}

/* Only where a service of master.cf needs it: it is the one that stays root. */
static int local_workers(const struct config *config)
{
    static const char *const commands[] = { "local", "virtual", "pipe" };
    const struct master_cf *master_cf = &config->source->master_cf;

    for (size_t i = 0; i < master_cf->count; i++)
        for (size_t at = 0; at < sizeof commands / sizeof commands[0]; at++)
            if (str_equal(master_cf->services[i].command, str_from(commands[at])))
                return 1;
    return 0;
}

/* Only where the configuration asks for address verification: it costs a process. What an access
 * table's result alone asks for is not seen; then some address_verify_* parameter must be set. */
static int verify_workers(const struct config *config)
{
    const struct config_source *source = config->source;
    struct str text[] = { source->main_text, source->master_text };
    bool is_wanted = false;

    for (size_t i = 0; i < sizeof text / sizeof text[0]; i++)
        is_wanted |= str_find(text[i], STR("reject_unverified_")) >= 0 ||
                     str_find(text[i], STR("address_verify_")) >= 0;
    for (size_t i = 0; is_wanted && i < source->master_cf.count; i++)
        if (str_equal(source->master_cf.services[i].command, STR("verify")))
            return 1;
    return 0;
}

/* Whether some service that runs the command wants something, by what its own line says. */
static bool some_service_wants(const struct config *config, struct str command,
                               bool (*wants)(const struct config *config))
{
    const struct master_cf *master_cf = &config->source->master_cf;
    bool is_wanted = false;

    for (size_t i = 0; !is_wanted && i < master_cf->count; i++) {
        struct error unused;
        if (!str_equal(master_cf->services[i].command, command))
            continue;
        struct config *own =
            config_new(config->source, &master_cf->services[i], NULL, NULL, &unused);
        if (own != NULL && str_equal(command, STR("lmtp")))
            config_use_lmtp(own);
        is_wanted = own != NULL && wants(own);
        config_free(&own);
    }
    return is_wanted;
}

static bool wants_cyrus(const struct config *config)
{
    return config->smtpd_sasl_auth_enable && str_equal_fold(config->smtpd_sasl_type, STR("cyrus"));
}

/* Only where some service of smtpd wants Cyrus SASL. */
static int sasl_workers(const struct config *config)
{
    return some_service_wants(config, STR("smtpd"), wants_cyrus) ? 1 : 0;
}

static bool wants_login_cache(const struct config *config)
{
    struct error unused;
    struct str map;

    return login_cache_map(config, &map, &unused) && map.len > 0;
}

/* Only where some client is to remember the logins that servers refused. */
static int proxywrite_workers(const struct config *config)
{
    return some_service_wants(config, STR("smtp"), wants_login_cache) ||
                   some_service_wants(config, STR("lmtp"), wants_login_cache)
               ? 1
               : 0;
}

/* Only where some service needs a private key. */
static int keys_workers(const struct config *config)
{
    return some_service_wants(config, STR("smtpd"), tls_files_server_wants_keys) ||
                   some_service_wants(config, STR("smtp"), tls_files_client_wants_keys) ||
                   some_service_wants(config, STR("lmtp"), tls_files_client_wants_keys)
               ? 1
               : 0;
}

const struct role_row role_table[ROLE_COUNT] = {
    { "log", one, false, false, STAGE_LOG, 0 },
    { "queue", one, true, false, STAGE_QUEUE, TABLE_USE_COMMON },
    { "resolver", one, false, false, STAGE_QUEUE, 0 },
    { "anvil", one, true, false, STAGE_QUEUE, 0 },
    { "verify", verify_workers, true, false, STAGE_QUEUE, 0 },
    { "sasl", sasl_workers, false, false, STAGE_QUEUE, 0 },
    { "proxywrite", proxywrite_workers, true, false, STAGE_QUEUE, 0 },
    /* Before those that ask it: with each reload they have the new one from their start. */
    { "keys", keys_workers, false, false, STAGE_QUEUE, TABLE_USE_KEYS },
    { "smtp", smtp_workers, false, true, STAGE_CONVERSATIONS, TABLE_USE_CLIENT },
    { "smtpd", smtpd_workers, false, true, STAGE_CONVERSATIONS,
      TABLE_USE_SERVER | TABLE_USE_COMMON },
    { "local", local_workers, false, true, STAGE_CONVERSATIONS, 0 }, /* looks itself */
    { "pickup", one, false, true, STAGE_CONVERSATIONS, TABLE_USE_COMMON },
};
