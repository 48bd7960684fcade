/* SPDX-License-Identifier: Apache-2.0 */
/* Who may relay: restrictions that are never reached, and a door that is open to everybody. */
#include "check.h"

#include "table/match_list.h"
#include "table/table_source.h"

static const char *const lists[] = {
    "smtpd_client_restrictions",      "smtpd_helo_restrictions",      "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",       "smtpd_recipient_restrictions", "smtpd_data_restrictions",
    "smtpd_end_of_data_restrictions",
};

static bool is_one_of(struct str word, const char *const *words)
{
    for (; *words != NULL; words++)
        if (str_equal(word, str_from(*words)))
            return true;
    return false;
}

/* What decides for everybody: nothing behind it is asked. */
static bool is_final(struct str word)
{
    static const char *const final[] = { "permit", "reject", "defer", NULL };

    return is_one_of(word, final);
}

/* What stops strangers from relaying. */
static bool is_guard(struct str word)
{
    static const char *const guards[] = { "reject_unauth_destination",
                                          "defer_unauth_destination",
                                          "reject",
                                          "defer",
                                          "defer_if_permit",
                                          NULL };

    return is_one_of(word, guards);
}

static void check_list(struct check *check, const struct check_setting *setting)
{
    struct str rest = setting->value, word, final = STR("");

    while (table_next_word(&rest, &word)) {
        if (str_is_empty(final)) {
            if (is_final(word))
                final = word;
            continue;
        }
        check_find(
            check, CHECK_WARNING, "unreachable-restriction", setting->place,
            arena_printf(&check->arena,
                         "%.*s: \"%.*s\" and what follows is never asked, because \"%.*s\" "
                         "before it decides for everybody",
                         STR_ARGS(setting->name), STR_ARGS(str_take(word, 100)), STR_ARGS(final)),
            arena_printf(&check->arena, "move \"%.*s\" to the end, or remove what follows it",
                         STR_ARGS(final)));
        return;
    }
}

/* ---- relaying for strangers ---- */

enum relaying { RELAY_GUARDED, RELAY_PERMITTED, RELAY_UNDECIDED };

static enum relaying relaying_of(struct str value)
{
    struct str word;

    while (table_next_word(&value, &word)) {
        if (is_guard(word))
            return RELAY_GUARDED;
        if (str_equal(word, STR("permit")))
            return RELAY_PERMITTED;
    }
    return RELAY_UNDECIDED;
}

static void check_guard(struct check *check, const struct config *config, struct check_place place)
{
    if (relaying_of(config->smtpd_relay_restrictions) == RELAY_GUARDED ||
        relaying_of(config->smtpd_recipient_restrictions) == RELAY_GUARDED)
        return;
    check_find(
        check, CHECK_ERROR, "open-relay", place,
        "neither smtpd_relay_restrictions nor smtpd_recipient_restrictions reaches a "
        "restriction that refuses strangers: this would be an open relay, and smtpd does not "
        "start",
        "write \"smtpd_relay_restrictions = permit_mynetworks, "
        "permit_sasl_authenticated, reject_unauth_destination\"");
}

static void check_guards(struct check *check)
{
    const struct master_cf *master_cf = &check->source->master_cf;
    struct error ignored;

    for (size_t i = 0; i < master_cf->count; i++) {
        const struct master_service *service = &master_cf->services[i];
        if (!str_equal(service->command, STR("smtpd")))
            continue;
        struct config *config = config_new(check->source, service, NULL, NULL, &ignored);
        if (config == NULL)
            continue;
        struct check_place place = check_place_of(check, STR("smtpd_relay_restrictions"));
        check_guard(check, config,
                    service->override_count > 0 ? check_place_of_service(service) : place);
        config_free(&config);
    }
}

static void check_networks(struct check *check, const struct check_setting *setting)
{
    struct match_list_options options = { .name = setting->name };
    struct error error;
    struct match_list *list = match_list_new(setting->value, &options, &error);

    if (list == NULL) {
        check_find(check, CHECK_ERROR, "bad-mynetworks", setting->place,
                   arena_printf(&check->arena, "%s", error.message),
                   "mend the entry: clients cannot be told apart without it");
        return;
    }
    struct str broad = match_list_too_broad(list);
    if (!str_is_empty(broad))
        check_find(check, CHECK_ERROR, "open-relay", setting->place,
                   arena_printf(&check->arena,
                                "%.*s in mynetworks lets a large part of the Internet relay",
                                STR_ARGS(broad)),
                   "name the networks of your own clients alone");
    match_list_free(&list);
}

/* Level 0's default counts whole subnets as clients to relay for. */
static void check_style(struct check *check)
{
    struct check_setting networks = check_setting_of(check, "mynetworks");
    struct check_setting style = check_setting_of(check, "mynetworks_style");
    struct check_setting interfaces = check_setting_of(check, "inet_interfaces");

    if (networks.is_set || str_equal_fold(style.value, STR("host")) ||
        str_equal_fold(interfaces.value, STR("loopback-only")))
        return;
    check_find(check, CHECK_WARNING, "relays-for-neighbours", style.place,
               arena_printf(&check->arena,
                            "mynetworks is not set, and mynetworks_style = %.*s lets every machine "
                            "of the networks that this one is in relay: %.*s",
                            STR_ARGS(style.value), STR_ARGS(str_take(networks.value, 200))),
               "write \"mynetworks = 127.0.0.0/8, [::1]/128\" and whom else you relay for");
}

void check_restrictions(struct check *check)
{
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        check_each(check, lists[i], check_list);
    check_guards(check);
    check_each(check, "mynetworks", check_networks);
    check_style(check);
}
