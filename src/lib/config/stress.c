/* SPDX-License-Identifier: Apache-2.0 */
#include "config/stress.h"

#include "base/memory.h"
#include "config/parameter.h"
#include "config/values.h"

#include <string.h>

/* What two configurations do not have in common. */
struct difference {
    const struct config *stressed;
    struct config *borrower; /* takes over what may differ */
    struct arena *arena;
    bool is_large; /* something differs that more than a conversation reads */
};

const struct master_service *
service_with_stress(struct arena *arena, const struct master_service *service, struct str stress)
{
    struct master_service *copy = arena_new(arena, sizeof *copy);

    *copy = *service;
    copy->override_count = service->override_count + 1;
    copy->overrides = arena_new(arena, copy->override_count * sizeof *copy->overrides);
    copy->overrides[0] = (struct service_override){ STR("stress"), stress };
    for (size_t i = 0; i < service->override_count; i++)
        copy->overrides[i + 1] = service->overrides[i];
    return copy;
}

static void take_over(void *argument, const struct config_value *value)
{
    struct difference *difference = argument;
    const struct parameter *parameter = value->parameter;
    struct config *borrower = difference->borrower;

    if (str_equal(value->name, STR("stress"))) {
        borrower->stress = arena_copy(difference->arena, difference->stressed->stress);
        return;
    }
    if (parameter == NULL || str_find(parameter->default_text, STR("${stress?")) < 0) {
        difference->is_large = true;
        return;
    }
    memcpy((char *)borrower + parameter->offset,
           (const char *)difference->stressed + parameter->offset,
           parameter_field_bytes(parameter->type));
}

struct config *config_under_stress(const struct config *calm, const struct master_service *service,
                                   struct arena *arena, struct error *error)
{
    struct config *stressed = config_new(calm->source, service, NULL, NULL, error);

    if (stressed == NULL)
        return NULL;
    struct config *borrower = memory_new(sizeof *borrower);
    struct difference difference = { .stressed = stressed, .borrower = borrower, .arena = arena };
    *borrower = *calm;
    borrower->service = service;
    borrower->lender = calm;
    borrower->arena = (struct arena){ 0 };
    config_values_compare(stressed->values, calm->values, take_over, &difference);
    config_free(difference.is_large ? &borrower : &stressed);
    return difference.is_large ? stressed : borrower;
}
