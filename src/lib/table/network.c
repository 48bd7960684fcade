/* SPDX-License-Identifier: Apache-2.0 */
#include "table/network.h"

#include <arpa/inet.h>

enum { MAPPED_PREFIX_BYTES = 12 };

static bool parse_bare(struct str text, struct network *address)
{
    char copy[INET6_ADDRSTRLEN];

    if (text.len == 0 || text.len >= sizeof copy || memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    *address = (struct network){ 0 };
    if (inet_pton(AF_INET, copy, address->bytes) == 1)
        address->byte_count = 4;
    else if (inet_pton(AF_INET6, copy, address->bytes) == 1)
        address->byte_count = 16;
    address->prefix_length = (uint8_t)(address->byte_count * 8);
    return address->byte_count > 0;
}

static struct str without_brackets(struct str text)
{
    if (text.len >= 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
        return str_of(text.ptr + 1, text.len - 2);
    return text;
}

static void unmap(struct network *address)
{
    static const unsigned char mapped[MAPPED_PREFIX_BYTES] = { [10] = 0xff, [11] = 0xff };

    if (address->byte_count != 16 || memcmp(address->bytes, mapped, sizeof mapped) != 0 ||
        address->prefix_length < MAPPED_PREFIX_BYTES * 8)
        return;
    memmove(address->bytes, address->bytes + MAPPED_PREFIX_BYTES, 4);
    address->byte_count = 4;
    address->prefix_length = (uint8_t)(address->prefix_length - MAPPED_PREFIX_BYTES * 8);
}

bool network_parse_address(struct str text, struct network *address)
{
    if (!parse_bare(without_brackets(text), address))
        return false;
    unmap(address);
    return true;
}

/* Zeroes what is behind the prefix; whether something was there. */
static bool clear_host_bits(struct network *network)
{
    bool had_bits = false;

    for (int bit = network->prefix_length; bit < network->byte_count * 8; bit++) {
        unsigned char mask = (unsigned char)(0x80 >> (bit % 8));
        had_bits |= (network->bytes[bit / 8] & mask) != 0;
        network->bytes[bit / 8] &= (unsigned char)~mask;
    }
    return had_bits;
}

bool network_parse_bare_address(struct str text, struct network *address)
{
    return parse_bare(text, address);
}

bool network_parse(struct str text, struct network *network, struct error *error)
{
    if (!network_parse_as_is(text, network, error))
        return false;
    unmap(network);
    return true;
}

bool network_parse_as_is(struct str text, struct network *network, struct error *error)
{
    struct str address = text, length = STR("");
    ptrdiff_t slash = str_find_byte(text, '/');
    uint64_t bits = 0;
    char shown[INET6_ADDRSTRLEN];

    /* "[address/length]" is an old spelling of "[address]/length". */
    if (slash >= 0 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
        address = text = str_of(text.ptr + 1, text.len - 2), slash--;
    if (slash >= 0) {
        address = str_take(text, (size_t)slash);
        length = str_skip(text, (size_t)slash + 1);
    }
    if (!parse_bare(without_brackets(address), network))
        return error_set(error, "\"%.*s\" is no network: expected address/length", STR_ARGS(text));
    if (slash >= 0) {
        if (!str_to_u64(length, &bits) || length.len > 3 || bits > network->byte_count * 8U)
            return error_set(error, "\"%.*s\": bad network length, expected a number up to %d",
                             STR_ARGS(text), network->byte_count * 8);
        network->prefix_length = (uint8_t)bits;
    }
    if (clear_host_bits(network)) {
        inet_ntop(network->byte_count == 4 ? AF_INET : AF_INET6, network->bytes, shown,
                  sizeof shown);
        return error_set(error,
                         "\"%.*s\": the address has bits set behind the network length; perhaps "
                         "%s/%d is meant",
                         STR_ARGS(text), shown, network->prefix_length);
    }
    return true;
}

static uint32_t first_word(const struct network *network)
{
    uint32_t word;

    memcpy(&word, network->bytes, sizeof word);
    return ntohl(word);
}

bool network_contains(const struct network *network, const struct network *address)
{
    size_t whole = network->prefix_length / 8;
    int rest = network->prefix_length % 8;
    int first_bits = network->prefix_length < 32 ? network->prefix_length : 32;

    if (network->byte_count != address->byte_count)
        return false;
    /* All of an IPv4 network, and mostly enough to say that it is not: long tables are searched
     * from their start. */
    if (first_bits > 0 && (first_word(network) ^ first_word(address)) >> (32 - first_bits) != 0)
        return false;
    if (network->prefix_length <= 32)
        return true;
    if (memcmp(network->bytes, address->bytes, whole) != 0)
        return false;
    return rest == 0 || ((network->bytes[whole] ^ address->bytes[whole]) >> (8 - rest)) == 0;
}
