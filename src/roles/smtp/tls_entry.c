/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_entry.h"

static const char blanks[] = ", \t\r\n";

bool tls_matches_add(struct tls_matches *matches, struct str list, const char *separators)
{
    struct str item;

    while (str_next_word(&list, separators, &item)) {
        if (matches->count == TLS_MATCHES_MAX)
            return false;
        matches->items[matches->count++] = item;
    }
    return true;
}

static bool add_match(struct tls_entry *entry, struct str value, struct error *error)
{
    const char *separators = entry->level == TLS_LEVEL_FINGERPRINT ? "|" : ":";

    if (entry->level != TLS_LEVEL_FINGERPRINT && entry->level != TLS_LEVEL_VERIFY &&
        entry->level != TLS_LEVEL_SECURE)
        return error_set(error, "attribute \"match\" invalid at security level \"%s\"",
                         tls_level_name(entry->level));
    return tls_matches_add(&entry->matches, value, separators) ||
           error_set(error, "attribute \"match\" has too many values");
}

static bool add_trust_files(struct tls_entry *entry, struct str value, struct error *error)
{
    if (entry->level != TLS_LEVEL_VERIFY && entry->level != TLS_LEVEL_SECURE)
        return error_set(error, "attribute \"tafile\" invalid at security level \"%s\"",
                         tls_level_name(entry->level));
    return tls_matches_add(&entry->trust_files, value, blanks) ||
           error_set(error, "attribute \"tafile\" has too many values");
}

static bool set_reuse(struct tls_entry *entry, struct str value, struct error *error)
{
    entry->has_reuse = true;
    entry->may_reuse = str_equal_fold(value, STR("yes"));
    return entry->may_reuse || str_equal_fold(value, STR("no")) ||
           error_set(error, "attribute \"connection_reuse\" has bad value: \"%.*s\"",
                     STR_ARGS(value));
}

/* MTA-STS servers for policy maps send these for reports, which are not made. */
static bool is_for_reports(struct str name)
{
    static const char *const names[] = { "policy_ttl",    "policy_type",    "policy_domain",
                                         "policy_string", "policy_failure", "enable_rpk" };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_equal_fold(name, str_from(names[i])))
            return true;
    return false;
}

static bool set_attribute(struct tls_entry *entry, struct str name, struct str value,
                          struct error *error)
{
    const struct {
        const char *name;
        struct str *field;
    } texts[] = {
        { "protocols", &entry->protocols },
        { "ciphers", &entry->ciphers },
        { "exclude", &entry->exclusions },
        { "servername", &entry->servername },
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (str_equal_fold(name, str_from(texts[i].name))) {
            *texts[i].field = value;
            return true;
        }
    }
    if (str_equal_fold(name, STR("match")))
        return add_match(entry, value, error);
    if (str_equal_fold(name, STR("connection_reuse")))
        return set_reuse(entry, value, error);
    if (str_equal_fold(name, STR("mx_host_pattern")))
        return tls_matches_add(&entry->mx_patterns, value, ":") ||
               error_set(error, "attribute \"mx_host_pattern\" has too many values");
    if (str_equal_fold(name, STR("tafile")))
        return add_trust_files(entry, value, error);
    return is_for_reports(name) ||
           error_set(error, "invalid attribute name: \"%.*s\"", STR_ARGS(name));
}

/* name=value, or { name = value with blanks }. */
static bool next_attribute(struct str *rest, struct str *attribute)
{
    while (rest->len > 0 && (rest->ptr[0] == ',' || ascii_is_space(rest->ptr[0])))
        *rest = str_skip(*rest, 1);
    if (rest->len == 0 || rest->ptr[0] != '{')
        return str_next_word(rest, blanks, attribute);
    *rest = str_skip(*rest, 1);
    *attribute = str_trim(str_cut(rest, "}"));
    return true;
}

bool tls_entry_parse(struct str text, struct tls_entry *entry, struct error *error)
{
    struct str word, attribute;

    *entry = (struct tls_entry){ 0 };
    if (!str_next_word(&text, blanks, &word))
        return error_set(error, "invalid empty policy");
    if (!tls_level_parse(word, &entry->level))
        return error_set(error, "invalid security level \"%.*s\"", STR_ARGS(word));
    while (next_attribute(&text, &attribute)) {
        struct str value = attribute;
        if (entry->level == TLS_LEVEL_NONE) {
            entry->ignored = attribute;
            return true;
        }
        struct str name = str_trim(str_cut(&value, "="));
        if (str_find_byte(attribute, '=') < 0)
            return error_set(error,
                             "malformed attribute/value pair \"%.*s\": missing '=' after "
                             "attribute name",
                             STR_ARGS(attribute));
        value = str_trim(value);
        if (value.len == 0)
            return error_set(error, "attribute \"%.*s\" has empty value", STR_ARGS(name));
        if (!set_attribute(entry, name, value, error))
            return false;
    }
    return true;
}
