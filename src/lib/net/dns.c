/* SPDX-License-Identifier: Apache-2.0 */
#include "net/dns.h"

#include <arpa/inet.h>
#include <stdio.h>

enum { NAME_LENGTH_MAX = 253, LABEL_LENGTH_MAX = 63, WIRE_LABELS_MAX = 128 };

static void put_u16(struct buf *out, uint16_t value)
{
    buf_append_byte(out, (char)(value & 0xff));
    buf_append_byte(out, (char)(value >> 8));
}

static void put_str(struct buf *out, struct str text)
{
    put_u16(out, (uint16_t)text.len);
    buf_append(out, str_take(text, UINT16_MAX));
}

void dns_records_encode(const struct dns_record *records, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        put_u16(out, records[i].preference);
        put_u16(out, records[i].weight);
        put_u16(out, records[i].port);
        put_str(out, records[i].name);
        put_str(out, records[i].data);
    }
}

static bool get_u16(struct str *bytes, uint16_t *value)
{
    if (bytes->len < 2)
        return false;
    *value = (uint16_t)((unsigned char)bytes->ptr[0] | (unsigned char)bytes->ptr[1] << 8);
    *bytes = str_skip(*bytes, 2);
    return true;
}

static bool get_str(struct str *bytes, struct str *text)
{
    uint16_t len;

    if (!get_u16(bytes, &len) || bytes->len < len)
        return false;
    *text = str_take(*bytes, len);
    *bytes = str_skip(*bytes, len);
    return true;
}

static bool get_record(struct str *bytes, struct dns_record *record)
{
    return get_u16(bytes, &record->preference) && get_u16(bytes, &record->weight) &&
           get_u16(bytes, &record->port) && get_str(bytes, &record->name) &&
           get_str(bytes, &record->data);
}

bool dns_records_decode(struct arena *arena, struct str bytes, struct dns_answer *answer)
{
    struct str rest = arena_copy(arena, bytes);

    answer->record_count = 0;
    answer->records = arena_new_array(arena, DNS_RECORDS_MAX, sizeof(struct dns_record));
    while (!str_is_empty(rest)) {
        if (answer->record_count == DNS_RECORDS_MAX ||
            !get_record(&rest, &answer->records[answer->record_count]))
            return false;
        answer->record_count++;
    }
    return true;
}

bool dns_name_is_valid(struct str name)
{
    size_t label_len = 0;

    if (str_ends_with(name, STR(".")))
        name = str_take(name, name.len - 1);
    if (name.len == 0 || name.len > NAME_LENGTH_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char byte = name.ptr[i];
        if (byte == '.') {
            if (label_len == 0)
                return false;
            label_len = 0;
            continue;
        }
        if (!ascii_is_alnum(byte) && byte != '-' && byte != '_')
            return false;
        if (++label_len > LABEL_LENGTH_MAX)
            return false;
    }
    return label_len > 0;
}

/* A name as it stands in rdata from libunbound: labels with their lengths, never compressed. The
 * root is "". False where it is not a host name: such a name is of no use for mail, and may be
 * meant to get into a log or a reply. */
static bool read_name(struct arena *arena, struct str wire, struct str *name)
{
    struct buf text = { 0 };
    bool is_complete = false;

    buf_init(&text, NAME_LENGTH_MAX + 1);
    for (int i = 0; i < WIRE_LABELS_MAX && wire.len > 0; i++) {
        size_t len = (unsigned char)wire.ptr[0];
        wire = str_skip(wire, 1);
        if (len == 0) {
            is_complete = wire.len == 0;
            break;
        }
        if (len > LABEL_LENGTH_MAX || len > wire.len)
            break;
        if (memchr(wire.ptr, '.', len) != NULL)
            break;
        if (text.len > 0)
            buf_append_byte(&text, '.');
        buf_append(&text, str_take(wire, len));
        wire = str_skip(wire, len);
    }
    if (is_complete && !text.is_overflowed && (text.len == 0 || dns_name_is_valid(buf_str(&text))))
        *name = arena_copy(arena, buf_str(&text));
    else
        is_complete = false;
    buf_free(&text);
    return is_complete;
}

static uint16_t network_u16(const char *bytes)
{
    return (uint16_t)((unsigned char)bytes[0] << 8 | (unsigned char)bytes[1]);
}

/* The strings of a TXT record, one after the other without anything between. */
static bool read_text(struct arena *arena, struct str rdata, struct str *text)
{
    struct buf joined = { 0 };
    bool is_whole = true;

    while (is_whole && rdata.len > 0) {
        size_t len = (unsigned char)rdata.ptr[0];
        rdata = str_skip(rdata, 1);
        is_whole = len <= rdata.len;
        buf_append(&joined, str_take(rdata, len));
        rdata = str_skip(rdata, len);
    }
    if (is_whole)
        *text = arena_copy(arena, buf_str(&joined));
    buf_free(&joined);
    return is_whole;
}

static bool read_service(struct arena *arena, struct str rdata, struct dns_record *record)
{
    if (rdata.len < 7)
        return false;
    record->preference = network_u16(rdata.ptr);
    record->weight = network_u16(rdata.ptr + 2);
    record->port = network_u16(rdata.ptr + 4);
    return read_name(arena, str_skip(rdata, 6), &record->name);
}

bool dns_rdata_parse(struct arena *arena, enum dns_type type, struct str rdata,
                     struct dns_record *record)
{
    *record = (struct dns_record){ 0 };
    if (rdata.len > UINT16_MAX)
        return false;
    switch (type) {
    case DNS_A:
    case DNS_AAAA:
        record->data = arena_copy(arena, rdata);
        return rdata.len == (type == DNS_A ? 4 : 16);
    case DNS_PTR:
    case DNS_NS:
    case DNS_CNAME:
        return read_name(arena, rdata, &record->name) && record->name.len > 0;
    case DNS_MX:
        if (rdata.len < 3)
            return false;
        record->preference = network_u16(rdata.ptr);
        return read_name(arena, str_skip(rdata, 2), &record->name);
    case DNS_SRV:
        return read_service(arena, rdata, record);
    case DNS_TXT:
        return read_text(arena, rdata, &record->data);
    case DNS_TLSA:
        record->data = arena_copy(arena, rdata);
        return true; /* a short one is of no use, but there: see tlsa.h */
    }
    return false;
}

const char *dns_type_name(enum dns_type type)
{
    switch (type) {
    case DNS_A:
        return "A";
    case DNS_PTR:
        return "PTR";
    case DNS_NS:
        return "NS";
    case DNS_CNAME:
        return "CNAME";
    case DNS_MX:
        return "MX";
    case DNS_TXT:
        return "TXT";
    case DNS_AAAA:
        return "AAAA";
    case DNS_SRV:
        return "SRV";
    case DNS_TLSA:
        return "TLSA";
    }
    return "unknown";
}

bool dns_record_address(const struct dns_record *record, uint16_t port, struct net_address *address)
{
    *address = (struct net_address){ 0 };
    if (record->data.len == 4) {
        address->in4.sin_family = AF_INET;
        address->in4.sin_port = htons(port);
        memcpy(&address->in4.sin_addr, record->data.ptr, 4);
        address->len = sizeof address->in4;
        return true;
    }
    if (record->data.len == 16) {
        address->in6.sin6_family = AF_INET6;
        address->in6.sin6_port = htons(port);
        memcpy(&address->in6.sin6_addr, record->data.ptr, 16);
        address->len = sizeof address->in6;
        return true;
    }
    return false;
}

bool dns_reverse_name(const struct net_address *address, struct buf *out)
{
    struct str bytes = net_address_bytes(address);

    if (bytes.len != 4 && bytes.len != 16)
        return false;
    for (size_t i = bytes.len; i-- > 0;) {
        unsigned byte = (unsigned char)bytes.ptr[i];
        if (bytes.len == 4)
            buf_printf(out, "%u.", byte);
        else
            buf_printf(out, "%x.%x.", byte & 15, byte >> 4);
    }
    buf_append_text(out, bytes.len == 4 ? "in-addr.arpa" : "ip6.arpa");
    return true;
}
