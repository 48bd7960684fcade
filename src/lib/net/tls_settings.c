/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_settings.h"

#include "config/config.h"

static const char separators[] = ", \t\r\n:";

static const char *const level_names[] = {
    [TLS_LEVEL_NONE] = "none",       [TLS_LEVEL_MAY] = "may",
    [TLS_LEVEL_ENCRYPT] = "encrypt", [TLS_LEVEL_FINGERPRINT] = "fingerprint",
    [TLS_LEVEL_DANE] = "dane",       [TLS_LEVEL_DANE_ONLY] = "dane-only",
    [TLS_LEVEL_VERIFY] = "verify",   [TLS_LEVEL_SECURE] = "secure",
};

bool tls_level_parse(struct str word, enum tls_level *level)
{
    for (unsigned i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (str_equal_fold(word, str_from(level_names[i]))) {
            *level = (enum tls_level)i;
            return true;
        }
    }
    return false;
}

const char *tls_level_name(enum tls_level level)
{
    return level_names[level];
}

/* ---- protocols ---- */

static bool parse_version(struct str word, unsigned *version)
{
    static const char *const names[TLS_PROTOCOLS] = { "SSLv2",   "SSLv3",   "TLSv1",
                                                      "TLSv1.1", "TLSv1.2", "TLSv1.3" };

    for (unsigned i = 0; i < TLS_PROTOCOLS; i++) {
        if (str_equal_fold(word, str_from(names[i]))) {
            *version = i;
            return true;
        }
    }
    return false;
}

bool tls_protocols_parse(struct str text, struct tls_protocols *protocols)
{
    unsigned all = (1u << TLS_PROTOCOLS) - 1;
    unsigned included = 0, excluded = 1u << TLS_SSL2, version;
    struct str word;

    while (str_next_word(&text, separators, &word)) {
        bool is_least = str_starts_with(word, STR(">="));
        bool is_most = str_starts_with(word, STR("<="));
        bool is_not = str_starts_with(word, STR("!"));
        if (!parse_version(str_skip(word, is_least || is_most ? 2 : is_not), &version))
            return false;
        if (is_least)
            excluded |= (1u << version) - 1;
        else if (is_most)
            excluded |= all & ~((2u << version) - 1);
        else if (is_not)
            excluded |= 1u << version;
        else
            included |= 1u << version;
    }
    protocols->allowed = (included != 0 ? included : all) & ~excluded;
    return protocols->allowed != 0;
}

/* ---- ciphers ---- */

static bool find_grade(const struct config *config, struct str grade, struct str *list)
{
    const struct {
        const char *name;
        struct str list;
    } grades[] = {
        { "high", config->tls_high_cipherlist }, { "medium", config->tls_medium_cipherlist },
        { "low", config->tls_low_cipherlist },   { "export", config->tls_export_cipherlist },
        { "null", config->tls_null_cipherlist },
    };

    for (size_t i = 0; i < sizeof grades / sizeof grades[0]; i++) {
        if (!str_equal_fold(grade, str_from(grades[i].name)))
            continue;
        /* The two that are no more are what they have become: medium. */
        *list = grades[i].list.len > 0 ? grades[i].list : config->tls_medium_cipherlist;
        return true;
    }
    return false;
}

bool tls_ciphers_make(struct arena *arena, const struct config *config, struct str grade,
                      const struct str *exclusions, size_t exclusion_count, struct str *list,
                      struct error *error)
{
    autofree_buf struct buf text = { 0 };
    struct str base, rest, word;

    if (!find_grade(config, grade, &base))
        return error_set(error, "invalid cipher grade: \"%.*s\"", STR_ARGS(grade));
    buf_append(&text, base);
    for (size_t i = 0; i < exclusion_count; i++) {
        rest = exclusions[i];
        while (str_next_word(&rest, separators, &word)) {
            if (strchr("!+-@", word.ptr[0]) != NULL)
                return error_set(error, "invalid unary '!+-@' in cipher exclusion: %.*s",
                                 STR_ARGS(word));
            buf_append_text(&text, ":!");
            buf_append(&text, word);
        }
    }
    *list = arena_copy(arena, buf_str(&text));
    return true;
}

/* ---- logs ---- */

unsigned tls_log_parse(struct str text, void (*unknown)(void *argument, struct str word),
                       void *argument)
{
    enum {
        ROUTINE = TLS_LOG_SUMMARY | TLS_LOG_UNTRUSTED,
        DEBUG = ROUTINE | TLS_LOG_MATCH | TLS_LOG_CACHE | TLS_LOG_VERBOSE,
    };
    /* What levels 3 and 4 add, OpenSSL's own traces of every byte, is not logged. */
    static const struct {
        const char *name;
        unsigned bits;
    } names[] = {
        { "0", 0 },
        { "none", 0 },
        { "1", ROUTINE },
        { "routine", ROUTINE },
        { "2", DEBUG },
        { "debug", DEBUG },
        { "3", DEBUG },
        { "ssl-expert", DEBUG },
        { "4", DEBUG },
        { "ssl-developer", DEBUG },
        { "5", DEBUG },
        { "6", DEBUG },
        { "7", DEBUG },
        { "8", DEBUG },
        { "9", DEBUG },
        { "summary", TLS_LOG_SUMMARY },
        { "untrusted", TLS_LOG_UNTRUSTED },
        { "peercert", TLS_LOG_MATCH },
        { "certmatch", TLS_LOG_MATCH },
        { "verbose", TLS_LOG_VERBOSE },
        { "cache", TLS_LOG_CACHE },
        { "ssl-debug", 0 },
        { "ssl-handshake-packet-dump", 0 },
        { "ssl-session-packet-dump", 0 },
    };
    const size_t count = sizeof names / sizeof names[0];
    unsigned bits = 0;
    struct str rest = text, word;

    while (str_next_word(&rest, ", \t\r\n", &word)) {
        size_t i = 0;
        while (i < count && !str_equal_fold(word, str_from(names[i].name)))
            i++;
        if (i == count && unknown != NULL)
            unknown(argument, word);
        /* One unknown word and the whole value means nothing, as in Postfix. */
        if (i == count)
            return 0;
        bits |= names[i].bits;
    }
    return bits;
}
