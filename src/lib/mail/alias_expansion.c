/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/alias_expansion.h"

#include "base/map.h"
#include "base/memory.h"
#include "mail/address.h"

/* What one recipient has become so far. */
struct expanding {
    const struct alias_expansion *expansion;
    struct arena *arena;
    struct arena scratch;
    struct map *settled; /* expanded into themselves, among others: in lower case */
    struct str *addresses;
    size_t count, capacity;
    struct str asked;
    struct error *error;
};

static void add_address(struct expanding *expanding, struct str address)
{
    if (expanding->count == expanding->capacity) {
        expanding->capacity = expanding->capacity * 2 + 8;
        expanding->addresses =
            memory_resize(expanding->addresses, expanding->capacity * sizeof *expanding->addresses);
    }
    expanding->addresses[expanding->count++] = address;
}

static enum alias_outcome unbounded(struct expanding *expanding, const char *what,
                                    struct str address)
{
    error_set(expanding->error, "unreasonable %.*s %s %.*s",
              STR_ARGS(table_list_name(expanding->expansion->tables)), what,
              STR_ARGS(str_take(address, 300)));
    return ALIAS_UNBOUNDED;
}

/* The first result takes the address's place, the others wait for their turn. */
static enum alias_outcome take_results(struct expanding *expanding, size_t index,
                                       const struct address_results *results)
{
    struct str key = expanding->addresses[index];

    for (size_t i = 0; i < results->count; i++) {
        struct str result = results->addresses[i];
        if (result.len > expanding->expansion->limits.address_bytes)
            return unbounded(expanding, "result", result);
        result = arena_copy(expanding->arena, result);
        if (i == 0)
            expanding->addresses[index] = result;
        else
            add_address(expanding, result);
        /* An address may expand into itself once. */
        if (str_equal_fold(result, key))
            map_set(expanding->settled, address_fold(&expanding->scratch, key), expanding);
    }
    return ALIAS_DONE;
}

/* Until no table knows it. */
static enum alias_outcome follow(struct expanding *expanding, size_t index)
{
    const struct alias_expansion *expansion = expanding->expansion;

    for (size_t nesting = 0;; nesting++) {
        struct str address = expanding->addresses[index];
        struct address_results results;
        arena_clear(&expanding->scratch);
        if (map_find(expanding->settled, address_fold(&expanding->scratch, address)) != NULL)
            return ALIAS_DONE;
        if (nesting >= expansion->limits.nesting)
            return unbounded(expanding, "map nesting for", expanding->asked);
        switch (address_map_apply(expansion->rules, expansion->tables, address,
                                  expansion->propagates_extension, &expanding->scratch, &results,
                                  expanding->error)) {
        case LOOKUP_ABSENT:
            return ALIAS_DONE;
        case LOOKUP_FAILED:
            return ALIAS_FAILED;
        case LOOKUP_FOUND:
            break;
        }
        enum alias_outcome outcome = take_results(expanding, index, &results);
        if (outcome != ALIAS_DONE)
            return outcome;
    }
}

enum alias_outcome alias_expand(const struct alias_expansion *expansion, struct str address,
                                struct arena *arena, struct address_results *results,
                                struct error *error)
{
    struct expanding expanding = {
        .expansion = expansion,
        .arena = arena,
        .asked = address,
        .error = error,
    };
    enum alias_outcome outcome = ALIAS_DONE;

    expanding.settled = map_new();
    add_address(&expanding, address);
    for (size_t i = 0; i < expanding.count && outcome == ALIAS_DONE; i++)
        outcome = expanding.count > expansion->limits.addresses
                      ? unbounded(&expanding, "map expansion size for", address)
                      : follow(&expanding, i);
    results->count = outcome == ALIAS_DONE ? expanding.count : 0;
    results->addresses = arena_new_array(arena, expanding.count, sizeof *results->addresses);
    memcpy(results->addresses, expanding.addresses, results->count * sizeof *results->addresses);
    map_free(&expanding.settled);
    arena_clear(&expanding.scratch);
    memory_free(expanding.addresses);
    return outcome;
}
