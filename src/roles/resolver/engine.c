/* SPDX-License-Identifier: Apache-2.0 */
#include "engine.h"

#include "base/file.h"
#include "base/list.h"
#include "base/map.h"
#include "base/memory.h"
#include "hosts.h"
#include "trust_anchor.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unbound.h>
#include <unistd.h>

enum {
    DNS_PORT = 53,
    DNS_CLASS_IN = 1,
    DNS_RCODE_NOERROR = 0,
    DNS_RCODE_NXDOMAIN = 3,
    HOSTS_BYTES_MAX = 4 * 1024 * 1024,
    TTL_MIN_S = 5,
    TTL_MAX_S = 24 * 60 * 60,
};

struct engine {
    struct loop *loop;
    struct lane {
        struct ub_ctx *context; /* NULL: there is none */
        struct watch watch;
    } plain, validating;
    void (*warning)(void *argument, const char *text); /* or NULL */
    void *argument;
};

/* Loaded by this role alone: every process that has it pays for its tables and those of the
 * libraries that it brings. */
#define LIBRARY_NAME "libunbound.so.8"
#define FUNCTIONS(F)                                                                               \
    F(cancel)                                                                                      \
    F(ctx_add_ta)                                                                                  \
    F(ctx_async) F(ctx_create) F(ctx_data_add) F(ctx_delete) F(ctx_resolvconf) F(ctx_set_fwd)      \
        F(ctx_set_option) F(ctx_zone_add) F(fd) F(poll) F(process) F(resolve_async)                \
            F(resolve_free) F(strerror)

static struct {
#define FUNCTION(name) __typeof__(ub_##name) *name;
    FUNCTIONS(FUNCTION)
#undef FUNCTION
} unbound;

static bool load_library(struct error *error)
{
    void *library = dlopen(LIBRARY_NAME, RTLD_NOW | RTLD_LOCAL);

    if (library == NULL)
        return error_set(error, "%s: install libunbound8", dlerror());
#define FUNCTION(name)                                                                             \
    *(void **)&unbound.name = dlsym(library, "ub_" #name);                                         \
    if (unbound.name == NULL)                                                                      \
        return error_set(error, "%s has no ub_" #name, LIBRARY_NAME);
    FUNCTIONS(FUNCTION)
#undef FUNCTION
    return true;
}

static const char *const settings[][2] = {
    /* Small caches: 100,000 domains fit, and an idle relay stays small. */
    { "msg-cache-size:", "2m" },
    { "rrset-cache-size:", "4m" },
    { "infra-cache-numhosts:", "2000" },
    { "msg-cache-slabs:", "1" },
    { "rrset-cache-slabs:", "1" },
    { "infra-cache-slabs:", "1" },
    { "cache-min-ttl:", "5" },
    { "cache-max-ttl:", "86400" },
    { "do-not-query-localhost:", "no" },
    /* A private name server may well answer for 192.168.0.0/16. */
    { "unblock-lan-zones:", "yes" },
    /* libunbound would say "no such name" for all below these; a private network may have them. */
    { "local-zone:", "test. transparent" },
    { "local-zone:", "home.arpa. transparent" },
    { "num-queries-per-thread:", "512" },
    { "outgoing-range:", "512" },
    { "so-rcvbuf:", "0" },
    { "minimal-responses:", "yes" },
    { "use-syslog:", "no" },
};

static bool unbound_failed(struct error *error, const char *what, int status)
{
    return error_set(error, "%s: %s", what, unbound.strerror(status));
}

/* libunbound's own spelling: address@port. */
static bool add_server(struct ub_ctx *context, struct str entry, struct error *error)
{
    autofree_buf struct buf forward = { 0 };
    struct net_address address;
    struct str host = entry;
    uint64_t port = DNS_PORT;
    ptrdiff_t colon = str_find_last_byte(entry, ':');
    ptrdiff_t bracket = str_find_last_byte(entry, ']');
    bool has_port = colon > bracket && (bracket >= 0 || str_find_byte(entry, ':') == colon);

    if (has_port) {
        host = str_take(entry, (size_t)colon);
        if (!str_to_u64(str_skip(entry, (size_t)colon + 1), &port) || port == 0 || port > 65535)
            return error_set(error, "dns_servers: \"%.*s\" has no valid port", STR_ARGS(entry));
    }
    if (!net_address_parse(host, (uint16_t)port, &address))
        return error_set(error,
                         "dns_servers: \"%.*s\" is not an IP address; give addresses as "
                         "192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:5353",
                         STR_ARGS(entry));
    net_address_format(&address, &forward);
    buf_printf(&forward, "@%u", (unsigned)port);
    int status = unbound.ctx_set_fwd(context, buf_text(&forward));
    return status == 0 || unbound_failed(error, "dns_servers", status);
}

static bool add_servers(struct ub_ctx *context, const struct engine_options *options,
                        struct error *error)
{
    struct str rest = options->dns_servers;
    struct str entry;
    bool is_any = false;

    while (str_next_word(&rest, ", \t\r\n", &entry)) {
        is_any = true;
        if (!add_server(context, entry, error))
            return false;
    }
    if (!is_any && unbound.ctx_resolvconf(context, options->resolv_conf) != 0 &&
        options->warning != NULL) {
        autofree_buf struct buf text = { 0 };
        buf_printf(&text,
                   "cannot read %s: names are looked up from the root servers on; set "
                   "dns_servers, or restore the file and reload",
                   options->resolv_conf);
        options->warning(options->argument, buf_text(&text));
    }
    return true;
}

/* The record answers its own type alone: for MX the name still counts as DNS has it. */
static bool add_data(struct ub_ctx *context, const char *name, const char *type, const char *data,
                     struct error *error)
{
    autofree_buf struct buf record = { 0 };
    int status = unbound.ctx_zone_add(context, name, "typetransparent");

    buf_printf(&record, "%s 3600 IN %s %s", name, type, data);
    if (status == 0)
        status = unbound.ctx_data_add(context, buf_text(&record));
    return status == 0 || unbound_failed(error, buf_text(&record), status);
}

static bool add_host(struct ub_ctx *context, const struct hosts_entry *entry, struct map *seen,
                     struct error *error)
{
    autofree_buf struct buf address = { 0 }, reverse = { 0 };
    struct str rest = entry->names;
    struct str word;

    net_address_format(&entry->address, &address);
    if (!dns_reverse_name(&entry->address, &reverse))
        return true;
    while (str_next_word(&rest, " \t\r", &word)) {
        autofree_buf struct buf name = { 0 };
        const char *type = entry->address.any.sa_family == AF_INET ? "A" : "AAAA";
        if (!dns_name_is_valid(word))
            continue;
        buf_append(&name, word);
        /* libunbound knows localhost */
        if (!str_equal_fold(word, STR("localhost")) &&
            !add_data(context, buf_text(&name), type, buf_text(&address), error))
            return false;
        /* The first name of the first line with this address is the address's. */
        if (map_set(seen, buf_str(&reverse), seen) == NULL &&
            !add_data(context, buf_text(&reverse), "PTR", buf_text(&name), error))
            return false;
    }
    return true;
}

/* No hosts file is no misfortune. */
static bool add_hosts(struct ub_ctx *context, const char *path, struct error *error)
{
    autofree_buf struct buf contents = { 0 };
    struct hosts_entry entry;
    struct map *seen;
    bool is_fine = true;

    if (access(path, R_OK) != 0)
        return true;
    if (!file_read(path, HOSTS_BYTES_MAX, &contents, error))
        return false;
    seen = map_new();
    struct str rest = buf_str(&contents);
    while (is_fine && hosts_next(&rest, &entry))
        is_fine = add_host(context, &entry, seen, error);
    map_free(&seen);
    return is_fine || error_context(error, "%s", path);
}

/* The thread starts here, and most settings are fixed from then on. */
static bool configure(struct ub_ctx *context, const char *modules,
                      const struct engine_options *options, struct error *error)
{
    int status = unbound.ctx_set_option(context, "module-config:", modules);

    if (status != 0)
        return unbound_failed(error, "module-config", status);
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        status = unbound.ctx_set_option(context, settings[i][0], settings[i][1]);
        if (status != 0)
            return unbound_failed(error, settings[i][0], status);
    }
    if (!add_servers(context, options, error))
        return false;
    status = unbound.ctx_async(context, 1);
    return status == 0 || unbound_failed(error, "start the resolver's thread", status);
}

static void answers_ready(struct watch *watch, uint32_t events)
{
    struct lane *lane = list_entry(watch, struct lane, watch);

    (void)events;
    /* The watch is edge-triggered: take everything there is. */
    while (unbound.poll(lane->context))
        if (unbound.process(lane->context) != 0)
            break;
}

static bool lane_watch(struct loop *loop, struct lane *lane, struct error *error)
{
    return watch_open(loop, &lane->watch, unbound.fd(lane->context), EPOLLIN, answers_ready, error);
}

static void lane_close(struct loop *loop, struct lane *lane)
{
    if (lane->watch.fd >= 0)
        watch_close(loop, &lane->watch);
    if (lane->context != NULL)
        unbound.ctx_delete(lane->context);
    *lane = (struct lane){ .watch.fd = -1 };
}

static bool lane_create(struct lane *lane, struct error *error)
{
    lane->context = unbound.ctx_create();
    return lane->context != NULL ||
           error_set(error, "libunbound cannot start; is there enough memory?");
}

static bool open_plain(struct engine *engine, const struct engine_options *options,
                       struct error *error)
{
    struct lane *lane = &engine->plain;

    return lane_create(lane, error) && configure(lane->context, "iterator", options, error) &&
           add_hosts(lane->context, options->hosts, error) && lane_watch(engine->loop, lane, error);
}

static bool add_trust_anchors(struct ub_ctx *context, struct str file, struct error *error)
{
    autofree_buf struct buf text = { 0 };
    autoclear_arena struct arena arena = { 0 };
    struct str rest, record;
    int status = 0;

    if (!trust_anchors_read(file, &text, error))
        return false;
    rest = buf_str(&text);
    while (status == 0 && trust_anchor_next(&rest, &record))
        status = unbound.ctx_add_ta(context, arena_text(&arena, record));
    return status == 0 || unbound_failed(error, "dnssec_trust_anchor_file", status);
}

/* What does not work here keeps back only mail that DANE is to protect. */
static void open_validating(struct engine *engine, const struct engine_options *options)
{
    struct lane *lane = &engine->validating;
    struct engine_options quiet = *options;
    struct error error;

    quiet.warning = NULL; /* said for the plain one */
    if (lane_create(lane, &error) &&
        add_trust_anchors(lane->context, options->trust_anchor_file, &error) &&
        configure(lane->context, "validator iterator", &quiet, &error) &&
        lane_watch(engine->loop, lane, &error))
        return;
    (void)error_context(&error, "no DNSSEC; mail whose DNS answers are to be validated waits");
    if (options->warning != NULL)
        options->warning(options->argument, error.message);
    lane_close(engine->loop, lane);
}

struct engine *engine_new(struct loop *loop, const struct engine_options *options,
                          struct error *error)
{
    if (!load_library(error))
        return NULL;
    struct engine *engine = memory_new(sizeof *engine);
    engine->loop = loop;
    engine->warning = options->warning;
    engine->argument = options->argument;
    engine->plain.watch.fd = engine->validating.watch.fd = -1;
    if (!open_plain(engine, options, error))
        engine_free(&engine);
    else if (options->validates)
        open_validating(engine, options);
    return engine;
}

void engine_free(struct engine **engine)
{
    if (*engine == NULL)
        return;
    lane_close((*engine)->loop, &(*engine)->plain);
    lane_close((*engine)->loop, &(*engine)->validating);
    memory_free(*engine);
    *engine = NULL;
}

/* Keeps what is well formed, up to the limit. */
static void take_records(struct arena *arena, enum dns_type type, const struct ub_result *result,
                         struct dns_answer *answer)
{
    answer->records = arena_new_array(arena, DNS_RECORDS_MAX, sizeof(struct dns_record));
    for (size_t i = 0; result->data[i] != NULL && answer->record_count < DNS_RECORDS_MAX; i++) {
        struct str rdata = str_of(result->data[i], (size_t)result->len[i]);
        if (dns_rdata_parse(arena, type, rdata, &answer->records[answer->record_count]))
            answer->record_count++;
    }
}

static void set_outcome(struct dns_answer *answer, enum dns_outcome outcome, struct str reason)
{
    answer->outcome = outcome;
    answer->reason = reason;
}

static void fill_answer(struct arena *arena, enum dns_type type, const struct ub_result *result,
                        struct dns_answer *answer)
{
    answer->is_secure = result->secure != 0;
    answer->ttl_s = result->ttl < TTL_MIN_S   ? TTL_MIN_S
                    : result->ttl > TTL_MAX_S ? TTL_MAX_S
                                              : (uint32_t)result->ttl;
    if (result->bogus) {
        set_outcome(answer, DNS_TRY_AGAIN, STR("Host not found, try again"));
    } else if (result->havedata) {
        take_records(arena, type, result, answer);
        struct str canonical = str_from(result->canonname);
        if (str_ends_with(canonical, STR(".")))
            canonical = str_take(canonical, canonical.len - 1);
        answer->canonical_name = arena_copy(arena, canonical);
        if (answer->record_count > 0)
            set_outcome(answer, DNS_FOUND, STR(""));
        else
            set_outcome(answer, DNS_TRY_AGAIN, STR("Malformed or unexpected name server reply"));
    } else if (result->rcode == DNS_RCODE_NXDOMAIN && result->nxdomain) {
        set_outcome(answer, DNS_NO_NAME, STR("Host not found"));
    } else if (result->rcode == DNS_RCODE_NOERROR && !result->nxdomain) {
        set_outcome(answer, DNS_NO_DATA, STR("Host found but no data record of requested type"));
    } else {
        set_outcome(answer, DNS_TRY_AGAIN, STR("Host not found, try again"));
    }
}

/* The administrator should hear of it: it is an attack, or somebody's zone is broken. */
static void tell_bogus(const struct engine *engine, const struct ub_result *result)
{
    autofree_buf struct buf text = { 0 };

    if (!result->bogus || engine->warning == NULL)
        return;
    buf_printf(&text, "DNSSEC does not hold for %s type %s: %s", result->qname,
               dns_type_name((enum dns_type)result->qtype),
               result->why_bogus != NULL ? result->why_bogus : "unknown reason");
    engine->warning(engine->argument, buf_text(&text));
}

static void unbound_answered(void *argument, int status, struct ub_result *result)
{
    struct engine_question *question = argument;
    autoclear_arena struct arena arena = { 0 };
    struct dns_answer answer = { 0 };

    question->async_id = 0;
    answer.ttl_s = TTL_MIN_S;
    if (status != 0 || result == NULL)
        set_outcome(&answer, DNS_TRY_AGAIN, STR("Host not found, try again"));
    else
        fill_answer(&arena, question->type, result, &answer);
    if (result != NULL)
        tell_bogus(question->engine, result);
    question->answered(question, &answer);
    if (result != NULL)
        unbound.resolve_free(result);
}

static struct ub_ctx *question_context(const struct engine *engine,
                                       const struct engine_question *question)
{
    return question->is_validated ? engine->validating.context : engine->plain.context;
}

bool engine_ask(struct engine *engine, struct engine_question *question, struct str name)
{
    struct ub_ctx *context = question_context(engine, question);
    autofree_buf struct buf text = { 0 };

    buf_append(&text, name);
    question->engine = engine;
    question->async_id = 0;
    return context != NULL &&
           unbound.resolve_async(context, buf_text(&text), (int)question->type, DNS_CLASS_IN,
                                 question, unbound_answered, &question->async_id) == 0;
}

void engine_cancel(struct engine_question *question)
{
    if (question->async_id != 0)
        (void)unbound.cancel(question_context(question->engine, question), question->async_id);
    question->async_id = 0;
}
