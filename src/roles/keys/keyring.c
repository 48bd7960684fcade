/* SPDX-License-Identifier: Apache-2.0 */
#include "keyring.h"

#include "config/twins.h"
#include "net/tls_files.h"

/* What one line of master.cf has to do with keys. */
struct owner {
    struct service *service;
    struct str key_owner;
    const struct config *config;
    const char *program; /* as which it logs: the service itself would say it */
};

static void warn(void *argument, const char *text)
{
    const struct owner *owner = argument;
    const struct log_context log =
        service_log_context(owner->service, owner->config, owner->program);

    log_warning(&log, "%s", text);
}

static bool add_maps(struct keyring *keyring, struct owner *owner, struct error *error)
{
    struct str text = owner->config->tls_server_sni_maps;
    const struct log_context log =
        service_log_context(owner->service, owner->config, owner->program);

    if (str_is_empty(str_trim(text)) || keyring_find_maps(keyring, text) != NULL)
        return true;
    if (keyring->sni_maps_count == SNI_MAPS_MAX)
        return error_set(error, "more than %d values of tls_server_sni_maps", SNI_MAPS_MAX);
    keyring->sni_maps[keyring->sni_maps_count++] = sni_maps_new(text, &log);
    return true;
}

static bool add_line(struct keyring *keyring, struct owner *owner, struct error *error)
{
    const struct tls_warning warning = { .say = warn, .argument = owner };
    const struct config *config = owner->config;
    struct tls_files files;

    if (str_equal(str_from(owner->program), STR("smtpd"))) {
        if (!tls_files_server_wants_keys(config))
            return true;
        files = tls_files_of_server(config);
        (void)tls_keys_add_files(keyring->keys, &files, owner->key_owner, &warning);
        return add_maps(keyring, owner, error);
    }
    if (!tls_files_client_wants_keys(config))
        return true;
    files = tls_files_of_client(config);
    (void)tls_keys_add_files(keyring->keys, &files, owner->key_owner, &warning);
    return true;
}

struct str keyring_owner(struct arena *arena, const char *role, struct str service)
{
    return str_from(arena_printf(arena, "%s/%.*s", role, STR_ARGS(service)));
}

bool keyring_open(struct keyring *keyring, struct service *service, struct error *error)
{
    static const char *const programs[] = { "smtpd", "smtp", "lmtp" };
    const struct master_cf *master_cf = &service->source->master_cf;
    autoclear_arena struct arena scratch = { 0 };
    bool is_fine = true;

    *keyring = (struct keyring){ .keys = tls_keys_new(error) };
    if (keyring->keys == NULL)
        return false;
    for (size_t i = 0; is_fine && i < master_cf->count; i++) {
        const struct master_service *line = &master_cf->services[i];
        struct owner owner = { .service = service };
        struct config *config;
        for (size_t at = 0; at < sizeof programs / sizeof programs[0]; at++)
            if (str_equal(line->command, str_from(programs[at])))
                owner.program = programs[at];
        if (owner.program == NULL)
            continue;
        config = config_new(service->source, line, NULL, NULL, error);
        if (config == NULL) /* the service itself cannot start then, and says why */
            continue;
        if (str_equal(line->command, STR("lmtp")))
            config_use_lmtp(config);
        owner.config = config;
        owner.key_owner = keyring_owner(
            &scratch, str_equal(line->command, STR("smtpd")) ? "smtpd" : "smtp", line->name);
        is_fine = add_line(keyring, &owner, error);
        config_free(&config);
    }
    return is_fine;
}

void keyring_close(struct keyring *keyring)
{
    for (size_t i = 0; i < keyring->sni_maps_count; i++)
        sni_maps_free(&keyring->sni_maps[i]);
    keyring->sni_maps_count = 0;
    tls_keys_free(&keyring->keys);
}

const struct sni_maps *keyring_find_maps(const struct keyring *keyring, struct str text)
{
    for (size_t i = 0; i < keyring->sni_maps_count; i++)
        if (str_equal(sni_maps_text(keyring->sni_maps[i]), text))
            return keyring->sni_maps[i];
    return NULL;
}
