/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of a transport that another of its settings makes dead. A pause between deliveries (rate
 * delay) means that a destination has one delivery at a time, whatever its concurrency limit. */
#include "check.h"

enum { SAFE_COHORT_LIMIT = 10 };

static bool is_delivery_agent(struct str command)
{
    static const char *const agents[] = { "smtp", "lmtp", "local", "virtual", "pipe" };

    for (size_t i = 0; i < sizeof agents / sizeof *agents; i++)
        if (str_equal(command, str_from(agents[i])))
            return true;
    return false;
}

static int64_t number_of(const struct check *check, struct str transport, const char *suffix)
{
    struct error ignored;
    int64_t value;

    return config_transport_number(check->config, transport, suffix, &value, &ignored) ? value : 0;
}

/* Says so where `name` is set to more than 1. */
static void find_dead(struct check *check, const char *name, const char *delay, const char *whose)
{
    struct check_setting limit = check_setting_of(check, name);
    int64_t value;

    if (!limit.is_set || !str_to_i64(limit.value, &value) || value == 1)
        return;
    check_find(check, CHECK_WARNING, "dead-limit", limit.place,
               arena_printf(&check->arena,
                            "%s = %.*s has no effect, because %s lets %s have one delivery at a "
                            "time",
                            name, STR_ARGS(limit.value), delay, whose),
               arena_printf(&check->arena, "remove one of the two"));
}

/* One failed connection is enough to give a destination up, with the cohort limit's default. */
static void check_cohorts(struct check *check, struct str transport, const char *delay,
                          struct check_place place)
{
    int64_t cohorts = number_of(check, transport, "destination_concurrency_failed_cohort_limit");

    if (cohorts >= SAFE_COHORT_LIMIT || cohorts == 0)
        return;
    check_find(check, CHECK_HINT, "fragile-delay", place,
               arena_printf(&check->arena,
                            "%s leaves a destination one connection at a time, and %s: all its "
                            "mail waits then",
                            delay,
                            cohorts == 1 ? "a single one that fails counts as a dead destination"
                                         : "a few that fail count as a dead destination"),
               arena_printf(&check->arena,
                            "write \"%.*s_destination_concurrency_failed_cohort_limit = %d\"",
                            STR_ARGS(transport), SAFE_COHORT_LIMIT));
}

static void check_transport(struct check *check, const struct master_service *service)
{
    struct arena *arena = &check->arena;
    const char *name = arena_text(arena, service->name);
    const char *own_delay = arena_printf(arena, "%s_destination_rate_delay", name);
    struct check_setting own = check_setting_of(check, own_delay);

    if (number_of(check, service->name, "destination_rate_delay") == 0)
        return;
    const char *delay = own.is_set ? own_delay : "default_destination_rate_delay";
    find_dead(check, arena_printf(arena, "%s_destination_concurrency_limit", name), delay,
              "each destination");
    find_dead(check, arena_printf(arena, "%s_initial_destination_concurrency", name), delay,
              "each destination");
    if (own.is_set)
        check_cohorts(check, service->name, own_delay, own.place);
}

static void check_defaults(struct check *check)
{
    static const char delay[] = "default_destination_rate_delay";
    struct check_setting setting = check_setting_of(check, delay);

    if (!setting.is_set || number_of(check, STR("default"), "destination_rate_delay") == 0)
        return;
    find_dead(check, "default_destination_concurrency_limit", delay,
              "each destination of every transport without a delay of its own");
    find_dead(check, "initial_destination_concurrency", delay,
              "each destination of every transport without a delay of its own");
    check_cohorts(check, STR("default"), delay, setting.place);
}

/* Concurrency counts for each recipient instead of each domain then. */
static void check_single_recipient(struct check *check, const struct master_service *service)
{
    struct arena *arena = &check->arena;
    const char *name =
        arena_printf(arena, "%.*s_destination_recipient_limit", STR_ARGS(service->name));
    struct check_setting setting = check_setting_of(check, name);

    if (!setting.is_set || !str_equal(setting.value, STR("1")) ||
        !str_equal(service->command, STR("smtp")))
        return;
    check_find(check, CHECK_HINT, "limits-by-recipient", setting.place,
               arena_printf(arena,
                            "with %s = 1, the concurrency limit and the rate delay of %.*s count "
                            "for each recipient, not for each domain",
                            name, STR_ARGS(service->name)),
               "write 2 or more for limits by domain");
}

void check_limits(struct check *check)
{
    const struct master_cf *master_cf = &check->source->master_cf;

    check_defaults(check);
    for (size_t i = 0; i < master_cf->count; i++) {
        const struct master_service *service = &master_cf->services[i];
        if (service->type == SERVICE_INET || !is_delivery_agent(service->command))
            continue;
        check_transport(check, service);
        check_single_recipient(check, service);
    }
}
