/* SPDX-License-Identifier: Apache-2.0 */
/* A table's value and an address, separated by a line end: as transport, as alias, as canonical
 * address. Routes name a transport, expansions stay within their limits. */
#include "base/ensure.h"
#include "mail/alias_expansion.h"
#include "mail/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_route(struct str table, struct str address, struct arena *arena)
{
    struct route_settings settings = {
        .myhostname = STR("mx.example"),
        .myorigin = STR("mx.example"),
        .mydestination = STR("here.example"),
        .local_transport = STR("local"),
        .virtual_transport = STR("virtual"),
        .relay_transport = STR("relay"),
        .default_transport = STR("smtp"),
        .empty_address_recipient = STR("MAILER-DAEMON"),
        .recipient_delimiter = STR("+-"),
        .transport_maps = table,
        .rewrite = { STR_INIT("mx.example"), STR_INIT("example"), true, true, true, true },
    };
    struct error error;
    struct route route;
    struct router *router = router_new(&settings, NULL, NULL, NULL, &error);

    ensure(router != NULL);
    if (router_find(router, arena, STR(""), address, &route, &error))
        ensure(route.transport.len > 0 && (route.is_bad || route.address.len > 0));
    router_free(&router);
}

static void try_aliases(struct str table, struct str address, struct arena *arena)
{
    struct address_map_rules rules = {
        .rewrite = { STR_INIT("mx.example"), STR_INIT("example"), true, true, true, true },
        .extensions = { STR_INIT("+-"), false },
    };
    struct alias_expansion expansion = {
        .rules = &rules,
        .tables = table_list_new(STR("x"), table, &(struct table_options){ 0 }, NULL),
        .propagates_extension = true,
        .limits = { 20, 20, 1000 },
    };
    struct address_results results;
    struct error error;

    if (alias_expand(&expansion, address, arena, &results, &error) == ALIAS_DONE)
        ensure(results.count > 0 && results.count <= 20 + table.len);
    table_list_free(&expansion.tables);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autoclear_arena struct arena arena = { 0 };
    struct str address = str_of((const char *)data, size);
    struct str value = str_cut(&address, "\n");

    if (str_find_byte(value, '\0') >= 0 || address.len > 2000 || value.len > 2000)
        return 0;
    struct str table = str_from(arena_printf(&arena, "static:{ %.*s }", STR_ARGS(value)));
    try_route(table, address, &arena);
    try_aliases(table, address, &arena);
    return 0;
}
