/* SPDX-License-Identifier: Apache-2.0 */
#include "service_places.h"

#include "base/list.h"
#include "base/memory.h"
#include "service/places.h"
#include "wire/wire.h"

#include <string.h>

struct entry {
    struct list link;
    char *name; /* of the service */
    uint32_t number;
    struct places *places;
    /* As the configuration in force has it. */
    bool is_wanted;
    uint32_t service_line;
    bool is_public;
};

struct service_places {
    struct list entries;
    uint32_t next_number;
};

struct service_places *service_places_new(void)
{
    struct service_places *all = memory_new(sizeof *all);

    list_init(&all->entries);
    return all;
}

static void entry_free(struct entry *entry)
{
    list_remove(&entry->link);
    places_free(&entry->places);
    memory_free(entry->name);
    memory_free(entry);
}

void service_places_free(struct service_places **all)
{
    if (*all == NULL)
        return;
    list_each_removable (link, &(*all)->entries)
        entry_free(list_entry(link, struct entry, link));
    memory_free(*all);
    *all = NULL;
}

/* ---- what the configuration says ---- */

/* 0 = none. The default of 100 is meant for a process for each client; it does not bound who has
 * thousands in one. What an operator wrote holds. */
static uint32_t limit_of(const struct config *config, const struct master_service *line)
{
    if (line->process_limit >= 0)
        return (uint32_t)line->process_limit;
    if (config_is_set(config, STR("default_process_limit")))
        return (uint32_t)config->default_process_limit;
    return 0;
}

static struct entry *find(const struct service_places *all, struct str name)
{
    list_each (link, &all->entries) {
        struct entry *entry = list_entry(link, struct entry, link);
        if (str_equal(str_from(entry->name), name))
            return entry;
    }
    return NULL;
}

static struct entry *find_or_add(struct service_places *all, struct str name, struct error *error)
{
    autoclear_arena struct arena scratch = { 0 };
    struct entry *entry = find(all, name);

    if (entry != NULL)
        return entry;
    struct places *places = places_new(error);
    if (places == NULL)
        return NULL;
    entry = memory_new(sizeof *entry);
    entry->name = memory_copy_string(arena_text(&scratch, name));
    entry->number = all->next_number++;
    entry->places = places;
    list_append(&all->entries, &entry->link);
    return entry;
}

static void drop_unwanted(struct service_places *all)
{
    list_each_removable (link, &all->entries) {
        struct entry *entry = list_entry(link, struct entry, link);
        if (!entry->is_wanted)
            entry_free(entry);
    }
}

/* Of a service with several sockets each comes here. */
static void want(struct entry *entry, const struct config *config, const struct listening *socket)
{
    if (!entry->is_wanted)
        entry->is_public = false;
    entry->is_wanted = true;
    entry->service_line = socket->service_line;
    places_set_limit(entry->places,
                     limit_of(config, &config->source->master_cf.services[socket->service_line]));
    entry->is_public |= !net_address_is_loopback(&socket->address);
}

bool service_places_apply(struct service_places *all, const struct config *config,
                          const struct sockets *sockets, struct error *error)
{
    const struct master_cf *master_cf = &config->source->master_cf;

    for (size_t i = 0; i < sockets->count; i++)
        if (strcmp(sockets->entries[i].role, "smtpd") == 0 &&
            find_or_add(all, master_cf->services[sockets->entries[i].service_line].name, error) ==
                NULL)
            return false;
    list_each (link, &all->entries)
        list_entry(link, struct entry, link)->is_wanted = false;
    for (size_t i = 0; i < sockets->count; i++)
        if (strcmp(sockets->entries[i].role, "smtpd") == 0)
            want(find(all, master_cf->services[sockets->entries[i].service_line].name), config,
                 &sockets->entries[i]);
    drop_unwanted(all);
    return true;
}

/* ---- the workers ---- */

void service_places_send(const struct service_places *all, struct channel *control, uint32_t worker)
{
    list_each (link, &all->entries) {
        const struct entry *entry = list_entry(link, struct entry, link);
        wire_send_control_places(
            control, &(struct wire_control_places){ .service_line = entry->service_line,
                                                    .number = entry->number,
                                                    .worker = worker,
                                                    .is_public = entry->is_public,
                                                    .memory = places_fd(entry->places) });
    }
}

void service_places_forget(const struct service_places *all, uint32_t worker)
{
    list_each (link, &all->entries)
        places_forget(list_entry(link, struct entry, link)->places, worker);
}

void service_places_tell_free(const struct service_places *all, struct channel *control,
                              const uint32_t *number)
{
    list_each (link, &all->entries) {
        const struct entry *entry = list_entry(link, struct entry, link);
        if (number == NULL || *number == entry->number)
            wire_send_control_place_free(
                control, &(struct wire_control_place_free){ .number = entry->number });
    }
}
