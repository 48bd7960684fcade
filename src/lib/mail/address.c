/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/address.h"

#include "base/ensure.h"
#include "mail/path_tolerance.h"
#include "mail/utf8.h"
#include "net/address.h"

#include <arpa/inet.h>

enum { LABEL_BYTES_MAX = 63, LITERAL_BYTES_MAX = 80 };

/* What may not stand in a local part without quotes, beside blanks and control characters. */
static const char specials[] = "()<>@,;:\\\".[]";

static bool is_special(char byte)
{
    return byte != '\0' && strchr(specials, byte) != NULL;
}

/* ---- parts ---- */

bool address_has_domain(struct str address)
{
    return str_find_last_byte(address, '@') >= 0;
}

struct str address_local(struct str address)
{
    ptrdiff_t at = str_find_last_byte(address, '@');

    return at < 0 ? address : str_take(address, (size_t)at);
}

struct str address_domain(struct str address)
{
    ptrdiff_t at = str_find_last_byte(address, '@');

    return str_skip(address, at < 0 ? address.len : (size_t)at + 1);
}

struct str address_join(struct arena *arena, struct str local, struct str domain)
{
    char *text = arena_new(arena, local.len + domain.len + 2);

    memcpy(text, local.ptr, local.len);
    text[local.len] = '@';
    memcpy(text + local.len + 1, domain.ptr, domain.len);
    return str_of(text, local.len + 1 + domain.len);
}

bool address_is_routed(struct str address)
{
    struct str local = address_local(address);

    return str_find_byte(local, '@') >= 0 || str_find_byte(local, '%') >= 0 ||
           str_find_byte(local, '!') >= 0;
}

bool domain_is_literal(struct str domain)
{
    return domain.len >= 2 && domain.ptr[0] == '[' && domain.ptr[domain.len - 1] == ']';
}

bool domain_is_valid(struct str domain, bool is_utf8)
{
    size_t label_bytes = 0;
    bool is_numeric = true;

    if (str_ends_with(domain, STR(".")))
        domain.len--;
    if (domain.len == 0 || domain.len > DOMAIN_BYTES_MAX)
        return false;
    for (size_t i = 0; i < domain.len; i++) {
        char byte = domain.ptr[i];
        if (byte == '.') {
            if (label_bytes == 0 || domain.ptr[i - 1] == '-')
                return false;
            label_bytes = 0;
            continue;
        }
        bool is_wide = (unsigned char)byte >= 0x80;
        if (!(ascii_is_alnum(byte) || byte == '_' || (byte == '-' && label_bytes > 0) ||
              (is_wide && is_utf8)) ||
            ++label_bytes > LABEL_BYTES_MAX)
            return false;
        is_numeric &= ascii_is_digit(byte);
    }
    return label_bytes > 0 && domain.ptr[domain.len - 1] != '-' && !is_numeric;
}

/* ---- canonical form ---- */

static bool has_upper(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] >= 'A' && text.ptr[i] <= 'Z')
            return true;
    return false;
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" (the tag may be missing) into their one spelling; false
 * where there is no address inside. */
static bool literal_canonical(struct str literal, char text[static LITERAL_BYTES_MAX])
{
    unsigned char bytes[16];
    char inner[INET6_ADDRSTRLEN + 8];
    struct str content = str_of(literal.ptr + 1, literal.len - 2);
    bool has_tag = str_starts_with_fold(content, STR("ipv6:"));

    if (has_tag)
        content = str_skip(content, 5);
    if (content.len >= sizeof inner || memchr(content.ptr, '\0', content.len) != NULL)
        return false;
    memcpy(inner, content.ptr, content.len);
    inner[content.len] = '\0';
    char *out = stpcpy(text, "[");
    if (!has_tag && inet_pton(AF_INET, inner, bytes) == 1) {
        inet_ntop(AF_INET, bytes, out, INET6_ADDRSTRLEN);
    } else if (inet_pton(AF_INET6, inner, bytes) == 1) {
        static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
        bool is_mapped = memcmp(bytes, mapped, sizeof mapped) == 0;
        if (!is_mapped)
            out = stpcpy(out, "IPv6:");
        inet_ntop(is_mapped ? AF_INET : AF_INET6, is_mapped ? bytes + 12 : bytes, out,
                  INET6_ADDRSTRLEN);
    } else {
        return false;
    }
    stpcpy(out + strlen(out), "]");
    return true;
}

static struct str join(struct arena *arena, struct str local, struct str domain, bool folds_local)
{
    size_t len = local.len + 1 + domain.len;
    char *text = arena_new(arena, len + 1);

    for (size_t i = 0; i < local.len; i++)
        text[i] = folds_local ? ascii_lower(local.ptr[i]) : local.ptr[i];
    text[local.len] = '@';
    for (size_t i = 0; i < domain.len; i++)
        text[local.len + 1 + i] = ascii_lower(domain.ptr[i]);
    return str_of(text, len);
}

static struct str lower(struct arena *arena, struct str text)
{
    if (!has_upper(text))
        return text;
    char *copy = arena_new(arena, text.len + 1);
    for (size_t i = 0; i < text.len; i++)
        copy[i] = ascii_lower(text.ptr[i]);
    return str_of(copy, text.len);
}

static struct str canonical(struct arena *arena, struct str address, bool folds_local)
{
    char literal[LITERAL_BYTES_MAX];

    if (!address_has_domain(address))
        return folds_local ? lower(arena, address) : address;
    struct str local = address_local(address), domain = address_domain(address);
    if (domain_is_literal(domain)) {
        /* The tag keeps its capitals, so this is not folded. */
        if (!literal_canonical(domain, literal))
            return join(arena, local, domain, folds_local);
        return arena_copy(
            arena,
            str_from(arena_printf(arena, "%.*s@%s",
                                  STR_ARGS(folds_local ? lower(arena, local) : local), literal)));
    }
    bool has_dot = domain.len > 1 && domain.ptr[domain.len - 1] == '.';
    if (!has_dot && !has_upper(domain) && !(folds_local && has_upper(local)))
        return address;
    domain.len -= has_dot;
    return join(arena, local, domain, folds_local);
}

struct str address_normalise(struct arena *arena, struct str address)
{
    return canonical(arena, address, false);
}

struct str address_fold(struct arena *arena, struct str address)
{
    return canonical(arena, address, true);
}

/* ---- external form ---- */

static bool needs_quotes(struct str local)
{
    char previous = '.';

    for (size_t i = 0; i < local.len; i++) {
        unsigned char byte = (unsigned char)local.ptr[i];
        bool is_dot = byte == '.';
        if (byte <= ' ' || byte == 0x7f || (is_special((char)byte) && !is_dot) ||
            (is_dot && previous == '.'))
            return true;
        previous = (char)byte;
    }
    return previous == '.';
}

void address_format(struct str address, struct buf *out)
{
    struct str local = address_local(address);

    if (address.len == 0 || !needs_quotes(local)) {
        buf_append(out, address);
        return;
    }
    buf_append_byte(out, '"');
    for (size_t i = 0; i < local.len; i++) {
        char byte = local.ptr[i];
        if (byte == '"' || byte == '\\' || byte == '\r' || byte == '\n')
            buf_append_byte(out, '\\');
        buf_append_byte(out, byte);
    }
    buf_append_byte(out, '"');
    buf_append(out, str_skip(address, local.len));
}

void address_format_angle(struct str address, struct buf *out)
{
    buf_append_byte(out, '<');
    address_format(address, out);
    buf_append_byte(out, '>');
}

struct str address_unquote(struct arena *arena, struct str external)
{
    char *text = arena_new(arena, external.len + 1);
    ptrdiff_t at = str_find_last_byte(external, '@');
    bool has_domain = at >= 0 && str_find_byte(str_skip(external, (size_t)at), '"') < 0;
    size_t len = 0, i = 0;
    bool is_quoted = false;

    for (; i < external.len; i++) {
        char byte = external.ptr[i];
        if (byte == '\\' && i + 1 < external.len)
            text[len++] = external.ptr[++i];
        else if (byte == '"')
            is_quoted = !is_quoted;
        else if (has_domain && (ptrdiff_t)i == at && !is_quoted)
            break; /* the domain is taken as it is */
        else
            text[len++] = byte;
    }
    memcpy(text + len, external.ptr + i, external.len - i);
    return str_of(text, len + external.len - i);
}

/* ---- paths ---- */

/* How long the path at the start of `text` is, quotes, brackets and backslashes understood: up to a
 * blank outside of them. Negative where a quote or '<' stays open. */
static ptrdiff_t path_length(struct str text)
{
    bool is_quoted = false, is_inside = false;

    for (size_t i = 0; i < text.len; i++) {
        char byte = text.ptr[i];
        if (byte == '\\')
            i++;
        else if (byte == '"')
            is_quoted = !is_quoted;
        else if (!is_quoted && (byte == '<' || byte == '>'))
            is_inside = byte == '<';
        else if (!is_quoted && !is_inside && (byte == ' ' || byte == '\t'))
            return (ptrdiff_t)i;
    }
    return is_inside || is_quoted ? -1 : (ptrdiff_t)text.len;
}

/* "@a,@b:c@d" → "c@d" (RFC 5321, appendix C: routes are accepted and ignored). */
static bool strip_route(struct str *path)
{
    while (path->len > 0 && path->ptr[0] == '@') {
        size_t end = 1;
        while (end < path->len && path->ptr[end] != ',' && path->ptr[end] != ':')
            end++;
        struct str domain = str_of(path->ptr + 1, end - 1);
        if (end == path->len || !(domain_is_valid(domain, true) || domain_is_literal(domain)))
            return false;
        bool is_last = path->ptr[end] == ':';
        *path = str_skip(*path, end + 1);
        if (is_last)
            return path->len > 0 && path->ptr[0] != '@';
        if (path->len == 0 || path->ptr[0] != '@')
            return false;
    }
    return true;
}

/* A quoted string is a word of its own: "a"b is none. */
static bool may_be_quote(struct str path, size_t i, bool is_opening)
{
    if (is_opening)
        return i == 0 || path.ptr[i - 1] == '.' || path.ptr[i - 1] == '@';
    return i + 1 == path.len || path.ptr[i + 1] == '.' || path.ptr[i + 1] == '@';
}

/* Where the unquoted local part ends: the position of '@', or the end. False where something
 * stands there that needs quotes, or a quote stays open. A ':' that ends no route may stand there,
 * as in Postfix. */
static bool local_length(struct str path, size_t *end)
{
    bool is_quoted = false, has_colon = false;
    ptrdiff_t at = -1;

    for (size_t i = 0; i < path.len; i++) {
        char byte = path.ptr[i];
        has_colon |= !is_quoted && at < 0 && byte == ':';
        if (byte == '\\' && i + 1 < path.len) {
            i++;
        } else if (byte == '"') {
            is_quoted = !is_quoted;
            if (!may_be_quote(path, i, is_quoted))
                return false;
        } else if (!is_quoted && byte == '@') {
            if (at >= 0 && has_colon)
                return false; /* quoted for its ':', nobody would see that it is routed */
            at = (ptrdiff_t)i;
        } else if (!is_quoted && byte == '[' && at == (ptrdiff_t)i - 1 && at >= 0) {
            break; /* an address literal: checked as a domain */
        } else if (!is_quoted && (byte == ' ' || byte == '\\' ||
                                  (is_special(byte) && byte != '.' && byte != ':'))) {
            return false;
        }
    }
    *end = at >= 0 ? (size_t)at : path.len;
    return !is_quoted;
}

bool domain_literal_is_valid(struct str domain)
{
    if (!domain_is_literal(domain) || domain.len <= 2 || domain.len > DOMAIN_BYTES_MAX)
        return false;
    struct str inner = str_of(domain.ptr + 1, domain.len - 2);
    struct net_address address;

    /* RFC 5321 4.1.3: IPv6 has its tag. */
    if (str_find_byte(inner, ':') >= 0 && !str_starts_with_fold(inner, STR("IPv6:")))
        return false;
    return net_address_parse(inner, 0, &address);
}

static enum path_outcome parse_inner(struct arena *arena, struct str inner, struct path_rules rules,
                                     struct path *path)
{
    size_t local_end = 0;

    inner = str_trim(inner);
    path->address = STR("");
    if (inner.len == 0)
        return rules.kind == PATH_SENDER ? PATH_OK : PATH_BAD;
    if (inner.len > ADDRESS_BYTES_MAX)
        return PATH_TOO_LONG;
    if (!strip_route(&inner) || !local_length(inner, &local_end))
        return PATH_BAD;
    struct str local = address_unquote(arena, str_take(inner, local_end));
    struct str domain = str_skip(inner, local_end);
    /* A leading '-' could be taken for an option by some program on the way. */
    if (local.len == 0 || local.ptr[0] == ':' ||
        (local.ptr[0] == '-' && !rules.may_start_with_dash))
        return PATH_BAD;
    if (domain.len == 0) {
        path->address = local;
        return str_find_byte(local, '@') >= 0 ? PATH_BAD : PATH_OK;
    }
    struct str name = str_skip(domain, 1);
    if (!domain_literal_is_valid(name) && !domain_is_valid(name, rules.is_utf8))
        return PATH_BAD;
    char *text = arena_new(arena, local.len + domain.len + 1);
    memcpy(text, local.ptr, local.len);
    memcpy(text + local.len, domain.ptr, domain.len);
    path->address = str_of(text, local.len + domain.len);
    return PATH_OK;
}

/* What no path may hold. */
static enum path_outcome check_bytes(struct str text, bool is_utf8)
{
    bool is_wide = false;

    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return PATH_BAD;
        is_wide |= (unsigned char)text.ptr[i] >= 0x80;
    }
    if (!is_wide)
        return PATH_OK;
    if (!is_utf8)
        return PATH_NOT_ASCII;
    return utf8_is_clean(text) ? PATH_OK : PATH_BAD;
}

static enum path_outcome parse_text(struct arena *arena, struct str text, struct path_rules rules,
                                    struct path *path)
{
    bool is_angle = text.ptr[0] == '<', is_closed = text.ptr[text.len - 1] == '>';
    struct str inner = is_angle && is_closed ? str_of(text.ptr + 1, text.len - 2) : text;

    if (rules.is_strict && !is_angle)
        return PATH_BAD;
    enum path_outcome outcome = parse_inner(arena, inner, rules, path);
    if (outcome == PATH_BAD && path_simplify(arena, text, !rules.is_strict, &inner))
        outcome = parse_inner(arena, inner, rules, path);
    return outcome;
}

enum path_outcome path_parse(struct arena *arena, struct str argument, struct path_rules rules,
                             struct path *path)
{
    struct str keyword = rules.kind == PATH_SENDER ? STR("FROM:") : STR("TO:");

    *path = (struct path){ .address = STR(""), .parameters = STR(""), .text = STR("") };
    if (!str_starts_with_fold(argument, keyword))
        return PATH_NO_KEYWORD;
    struct str rest = str_skip(argument, keyword.len);
    while (rest.len > 0 && (rest.ptr[0] == ' ' || rest.ptr[0] == '\t'))
        rest = str_skip(rest, 1);
    if (rest.len == 0)
        return PATH_NO_KEYWORD;
    ptrdiff_t len = path_length(rest);
    if (len < 0)
        return PATH_BAD;
    path->text = str_take(rest, (size_t)len);
    path->parameters = str_skip(rest, (size_t)len);
    enum path_outcome outcome = check_bytes(path->text, rules.is_utf8);
    if (outcome != PATH_OK)
        return outcome;
    return parse_text(arena, path->text, rules, path);
}

bool esmtp_parameter_next(struct str *parameters, struct esmtp_parameter *parameter)
{
    struct str word;

    if (!str_next_word(parameters, " \t", &word))
        return false;
    ptrdiff_t equals = str_find_byte(word, '=');
    parameter->has_value = equals >= 0;
    parameter->keyword = equals >= 0 ? str_take(word, (size_t)equals) : word;
    parameter->value = equals >= 0 ? str_skip(word, (size_t)equals + 1) : STR("");
    return true;
}
