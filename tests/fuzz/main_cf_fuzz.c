/* SPDX-License-Identifier: Apache-2.0 */
/* main.cf from hostile bytes: what is read must be inside of what was given, and everything that
 * is done with it afterwards must end. */
#include "config/check.h"
#include "config/config.h"

#include "base/ensure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore_warning(void *argument, const char *text)
{
    *(size_t *)argument += strlen(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_of((const char *)data, size);
    struct config_source source;
    struct error error = { 0 };
    size_t warned = 0;

    if (!config_source_parse("/etc/test", text,
                             STR("smtp unix - - n - - smtp -o { smtp_helo_name = $myhostname }\n"),
                             &source, &error)) {
        ensure(error.message[0] != '\0');
        return 0;
    }
    for (size_t i = 0; i < source.main_cf.count; i++) {
        ensure(source.main_cf.assignments[i].name.len > 0);
        ensure(source.main_cf.assignments[i].line > 0);
    }
    config_check_names(&source, ignore_warning, &warned);
    struct config *config =
        config_new(&source, &source.master_cf.services[0], ignore_warning, &warned, &error);
    ensure(config != NULL || error.message[0] != '\0');
    config_free(&config);
    config_source_free(&source);
    return 0;
}
