/* SPDX-License-Identifier: Apache-2.0 */
#include "name_search.h"

#include "net/dns.h"

enum { DOTS_MAX = 15 };

static void add_domains(struct arena *arena, struct str list, size_t limit,
                        struct search_domains *domains)
{
    struct str word;

    domains->count = 0;
    while (domains->count < limit && str_next_word(&list, " \t\r", &word)) {
        if (str_ends_with(word, STR(".")))
            word = str_take(word, word.len - 1);
        if (dns_name_is_valid(word))
            domains->items[domains->count++] = arena_copy(arena, word);
    }
}

/* The last "search" or "domain" line counts. */
void search_domains_parse(struct arena *arena, struct str text, struct str host_name,
                          struct search_domains *domains)
{
    ptrdiff_t dot = str_find_byte(host_name, '.');

    *domains = (struct search_domains){ .dots = 1 };
    if (dot > 0)
        add_domains(arena, str_skip(host_name, (size_t)dot + 1), 1, domains);
    while (text.len > 0) {
        struct str line = str_cut(&text, "\n"), word;
        if (!str_next_word(&line, " \t\r", &word))
            continue;
        if (str_equal(word, STR("search")))
            add_domains(arena, line, SEARCH_DOMAINS_MAX, domains);
        else if (str_equal(word, STR("domain")))
            add_domains(arena, line, 1, domains);
        while (str_equal(word, STR("options")) && str_next_word(&line, " \t\r", &word)) {
            uint64_t dots;
            if (str_starts_with(word, STR("ndots:")) && str_to_u64(str_skip(word, 6), &dots))
                domains->dots = dots < DOTS_MAX ? dots : DOTS_MAX;
            word = STR("options");
        }
    }
}

bool name_search_parse(struct str options, unsigned *bits, struct error *error)
{
    struct str word;

    *bits = 0;
    while (str_next_word(&options, ", \t\r\n", &word)) {
        bool is_single = str_equal(word, STR("res_defnames"));
        if (!is_single && !str_equal(word, STR("res_dnsrch")))
            return error_set(error, "unknown smtp_dns_resolver_options value \"%.*s\"",
                             STR_ARGS(word));
        *bits |= is_single ? SEARCH_SINGLE : SEARCH_ALL;
    }
    return true;
}

static size_t count_dots(struct str name)
{
    size_t count = 0;

    for (size_t i = 0; i < name.len; i++)
        count += name.ptr[i] == '.';
    return count;
}

void name_search_list(struct arena *arena, const struct search_domains *domains, unsigned bits,
                      struct str name, struct search_names *names)
{
    size_t dots = count_dots(name);
    bool is_first = dots >= domains->dots;
    bool is_searched = (bits & (dots == 0 ? SEARCH_SINGLE : SEARCH_ALL)) != 0;
    size_t limit = (bits & SEARCH_ALL) != 0 ? domains->count : domains->count > 0;

    names->count = 0;
    if (is_first || !is_searched)
        names->items[names->count++] = name;
    for (size_t i = 0; is_searched && i < limit; i++)
        names->items[names->count++] =
            str_from(arena_printf(arena, "%.*s.%.*s", STR_ARGS(name), STR_ARGS(domains->items[i])));
    if (is_searched && !is_first)
        names->items[names->count++] = name;
    names->as_is = is_searched && !is_first ? names->count - 1 : 0;
}
