/* SPDX-License-Identifier: Apache-2.0 */
#include "nexthop.h"

bool nexthop_cut(struct str *list, struct str *item)
{
    return str_next_word(list, ", \t\r\n", item);
}

/* The names in known_tcp_ports' default, and those of RFC 6335 for the same. */
static const struct {
    struct str name;
    uint16_t port;
} known_ports[] = {
    { STR_INIT("smtp"), 25 },   { STR_INIT("lmtp"), 24 },         { STR_INIT("submission"), 587 },
    { STR_INIT("smtps"), 465 }, { STR_INIT("submissions"), 465 }, { STR_INIT("mail"), 25 },
};

bool nexthop_port_parse(struct str text, uint16_t *port)
{
    uint64_t number;

    for (size_t i = 0; i < sizeof known_ports / sizeof known_ports[0]; i++) {
        if (str_equal_fold(text, known_ports[i].name)) {
            *port = known_ports[i].port;
            return true;
        }
    }
    if (!str_to_u64(text, &number) || number == 0 || number > UINT16_MAX)
        return false;
    *port = (uint16_t)number;
    return true;
}

bool nexthop_parse(struct str item, uint16_t default_port, struct nexthop *nexthop,
                   struct error *error)
{
    struct str port = { 0 };

    *nexthop = (struct nexthop){ .host = item, .port = default_port };
    if (str_starts_with(item, STR("["))) {
        ptrdiff_t end = str_find_byte(item, ']');
        if (end < 0)
            return error_set(error, "destination \"%.*s\" lacks a \"]\"", STR_ARGS(item));
        nexthop->is_bracketed = true;
        nexthop->host = str_of(item.ptr + 1, (size_t)end - 1);
        port = str_skip(item, (size_t)end + 1);
        if (port.len > 0 && port.ptr[0] != ':')
            return error_set(error, "destination \"%.*s\" has text behind \"]\"", STR_ARGS(item));
        port = str_skip(port, 1);
    } else if (str_find_byte(item, ':') >= 0) {
        port = item;
        nexthop->host = str_cut(&port, ":");
    }
    if (nexthop->host.len == 0)
        return error_set(error, "destination \"%.*s\" names no host", STR_ARGS(item));
    if (port.len > 0 && !nexthop_port_parse(port, &nexthop->port))
        return error_set(error, "destination \"%.*s\" has an unknown port", STR_ARGS(item));
    nexthop->is_address = net_address_parse(nexthop->host, nexthop->port, &nexthop->address);
    return true;
}

bool nexthop_parse_lmtp(struct str item, uint16_t default_port, struct nexthop *nexthop,
                        struct error *error)
{
    if (str_starts_with(item, STR("unix:"))) {
        *nexthop = (struct nexthop){ .host = item, .path = str_skip(item, 5) };
        return nexthop->path.len > 0 ||
               error_set(error, "destination \"%.*s\" names no socket", STR_ARGS(item));
    }
    if (str_starts_with(item, STR("inet:")))
        item = str_skip(item, 5);
    if (!nexthop_parse(item, default_port, nexthop, error))
        return false;
    nexthop->is_bracketed = true;
    return true;
}
