/* SPDX-License-Identifier: Apache-2.0 */
/* master.cf from hostile bytes. */
#include "config/master_cf.h"

#include "base/ensure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = { 0 };
    struct master_cf master_cf;
    struct error error = { 0 };

    if (master_cf_parse(&arena, "master.cf", str_of((const char *)data, size), &master_cf,
                        &error)) {
        ensure(master_cf.count <= master_cf.line_count);
        for (size_t i = 0; i < master_cf.count; i++) {
            const struct master_service *service = &master_cf.services[i];
            ensure(service->name.len > 0 && service->command.len > 0);
            ensure(service->process_limit >= -1 && service->wakeup_s >= 0);
            for (size_t j = 0; j < service->override_count; j++)
                ensure(service->overrides[j].name.len > 0);
            ensure(master_cf_find(&master_cf, service->name, service->type) == service);
        }
    } else {
        ensure(error.message[0] != '\0');
    }
    arena_clear(&arena);
    return 0;
}
