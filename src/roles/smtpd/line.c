/* SPDX-License-Identifier: Apache-2.0 */
#include "line.h"

#include "base/memory.h"
#include "config/stress.h"
#include "conversation.h"

#include <sys/resource.h>
#include <unistd.h>

/* A socket that accepts: a line has one for each address. */
struct entrance {
    struct list link;
    struct line *line;
    struct listener *listener; /* NULL: not yet, or no more */
    int fd;                    /* until then */
    uint16_t port;
};

struct line {
    struct service *service;
    struct server *server;
    const struct master_service *master_line;
    struct policy *calm, *stressed; /* `stressed` borrows from the other one; NULL = never */
    struct places *places;
    uint32_t places_number;
    size_t claim;      /* while a connection is being accepted */
    size_t room_count; /* with so many conversations this process is short of descriptors */
    struct list entrances;
    bool is_waiting;        /* for a place; its entrances are paused */
    struct log_context log; /* of the warning, in the name of Postfix's master */
    struct arena arena;
};

/* ---- policies ---- */

static struct policy *make_policy(struct line *line, struct config *config, struct error *error)
{
    struct service *service = line->service;
    struct policy_options options = {
        .service = service,
        .keys = line->server->keys,
        .config = config,
        .calm = line->calm,
        .service_name = line->master_line->name,
        .log = service_log_context(service, config, "smtpd"),
        .cleanup_log = service_log_context(service, config, "cleanup"),
    };

    return policy_new(&options, error);
}

static const struct master_service *with_stress(struct line *line, const char *stress)
{
    return service_with_stress(&line->arena, line->master_line, str_from(stress));
}

static bool make_policies(struct line *line, bool knows_stress, struct error *error)
{
    struct config *config =
        config_new(line->service->source, knows_stress ? with_stress(line, "") : line->master_line,
                   NULL, NULL, error);

    if (config == NULL)
        return false;
    line->log = service_log_context(line->service, config, "master");
    line->calm = make_policy(line, config, error);
    if (line->calm == NULL || !knows_stress)
        return line->calm != NULL;
    config = config_under_stress(line->calm->config, with_stress(line, "yes"), &line->arena, error);
    if (config == NULL)
        return false;
    line->stressed = make_policy(line, config, error);
    return line->stressed != NULL;
}

/* Three quarters of the descriptors: tables, channels and policy services have theirs, too. */
static size_t find_room(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY
               ? (size_t)limit.rlim_cur / 4 * 3
               : SIZE_MAX;
}

struct line *line_new(struct service *service, struct server *server,
                      const struct master_service *master_line,
                      const struct wire_control_places *places, struct error *error)
{
    struct line *line = memory_new(sizeof *line);

    line->service = service;
    line->server = server;
    line->master_line = master_line;
    line->places_number = places->number;
    line->room_count = find_room();
    list_init(&line->entrances);
    line->places = places_open(places->memory, places->worker, error);
    /* As Postfix: a service of the machine itself (behind a content filter, say), and one that has
     * a single process for all clients, as postscreen, knows no stress. */
    if (line->places == NULL ||
        !make_policies(line, places->is_public && places_limit(line->places) != 1, error))
        line_free(&line);
    return line;
}

void line_free(struct line **line)
{
    if (*line == NULL)
        return;
    list_each_removable (link, &(*line)->entrances) {
        struct entrance *entrance = list_entry(link, struct entrance, link);
        listener_free(&entrance->listener);
        if (entrance->fd >= 0)
            close(entrance->fd);
        memory_free(entrance);
    }
    policy_free(&(*line)->stressed);
    policy_free(&(*line)->calm);
    places_free(&(*line)->places);
    arena_clear(&(*line)->arena);
    memory_free(*line);
    *line = NULL;
}

bool line_is_of(const struct line *line, const struct master_service *master_line)
{
    return line->master_line == master_line;
}

bool line_has_number(const struct line *line, uint32_t number)
{
    return line->places_number == number;
}

/* ---- overload ---- */

/* Behind the service's name in Postfix's warning: the port, with the address where it has one. */
static void format_endpoint(const struct line *line, struct buf *out)
{
    struct str name = line->master_line->name;
    const struct entrance *entrance = list_entry(line->entrances.next, struct entrance, link);
    ptrdiff_t colon = str_find_last_byte(name, ':');

    if (colon > 0) {
        bool is_bare = name.ptr[0] != '[';
        buf_printf(out, "%s%.*s%s:", is_bare ? "[" : "", (int)colon, name.ptr, is_bare ? "]" : "");
    }
    buf_printf(out, "%u", (unsigned)entrance->port);
}

static void warn(const struct line *line, bool are_all_taken)
{
    autofree_buf struct buf endpoint = { 0 };
    struct str name = line->master_line->name;

    format_endpoint(line, &endpoint);
    if (are_all_taken) {
        log_warning(&line->log,
                    "service \"%.*s\" (%s) has reached its process limit \"%u\": new clients may "
                    "experience noticeable delays",
                    STR_ARGS(name), buf_text(&endpoint), (unsigned)places_limit(line->places));
        log_warning(&line->log, "to avoid this condition, increase the process count in master.cf "
                                "or reduce the service time per client");
        log_warning(&line->log, "see http://www.postfix.org/STRESS_README.html for examples of "
                                "stress-adapting configuration settings");
    } else {
        log_warning(&line->log,
                    "service \"%.*s\" (%s) is short of descriptors, with %zu conversations in one "
                    "process: new clients may experience noticeable delays",
                    STR_ARGS(name), buf_text(&endpoint), line->server->conversation_count);
        log_warning(&line->log, "to avoid this condition, increase the limit of open files "
                                "(LimitNOFILE of the service manager) or waypost_smtpd_workers");
    }
}

/* A conversation begins: whether it does under overload. */
static bool has_overload(struct line *line)
{
    const struct server *server = line->server;
    int64_t now_ms = loop_now_ms(server->loop);
    bool are_all_taken = places_are_all_taken(line->places);

    if (are_all_taken || server->conversation_count + 1 >= line->room_count) {
        places_note_overload(line->places, now_ms);
        if (places_may_warn(line->places, now_ms))
            warn(line, are_all_taken);
        return true;
    }
    return places_had_overload(line->places, now_ms,
                               line->calm->config->waypost_stress_time * 1000);
}

/* ---- accepting ---- */

static void pause_or_resume(struct line *line, void (*change)(struct listener *listener))
{
    list_each (link, &line->entrances) {
        struct entrance *entrance = list_entry(link, struct entrance, link);
        if (entrance->listener != NULL)
            change(entrance->listener);
    }
}

/* Says first that it waits, then looks once more: who leaves in between has been told, or left a
 * place. */
static bool may_accept(void *argument)
{
    struct line *line = ((struct entrance *)argument)->line;

    if (places_claim(line->places, &line->claim))
        return true;
    places_wait(line->places);
    if (places_claim(line->places, &line->claim))
        return true;
    line->is_waiting = true;
    pause_or_resume(line, listener_pause);
    return false;
}

static void accepted(void *argument, int fd, const struct net_address *peer)
{
    struct line *line = ((struct entrance *)argument)->line;
    const struct policy *policy = line->calm;

    places_confirm(line->places, line->claim);
    if (line->stressed != NULL && has_overload(line))
        policy = line->stressed;
    const struct arrival arrival = { .fd = fd, .peer = *peer, .line = line, .place = line->claim };
    conversation_start(line->server, policy, &arrival);
}

static void came_to_nothing(void *argument)
{
    struct line *line = ((struct entrance *)argument)->line;

    line_leave(line, line->claim);
}

void line_go_on(struct line *line)
{
    if (!line->is_waiting)
        return;
    line->is_waiting = false;
    pause_or_resume(line, listener_resume);
}

void line_leave(struct line *line, size_t place)
{
    if (line == NULL)
        return;
    places_release(line->places, place);
    if (!places_someone_waits(line->places))
        return;
    line_go_on(line);
    service_tell_place_left(line->service, line->places_number);
}

void line_add_socket(struct line *line, int fd)
{
    struct entrance *entrance = memory_new(sizeof *entrance);
    struct net_address address = { .len = sizeof address.in6 };

    if (getsockname(fd, &address.any, &address.len) == 0)
        entrance->port = net_address_port(&address);
    entrance->line = line;
    entrance->fd = fd;
    list_append(&line->entrances, &entrance->link);
}

void line_accept(struct line *line)
{
    struct error error;

    list_each (link, &line->entrances) {
        struct entrance *entrance = list_entry(link, struct entrance, link);
        entrance->listener =
            listener_new(line->server->loop, entrance->fd, accepted, entrance, &error);
        entrance->fd = -1;
        if (entrance->listener == NULL)
            log_error(&line->service->log_context, "listen: %s", error.message);
        else
            listener_guard(entrance->listener, may_accept, came_to_nothing);
    }
}

void line_stop_accepting(struct line *line)
{
    list_each (link, &line->entrances)
        listener_free(&list_entry(link, struct entrance, link)->listener);
}

void line_format_status(const struct line *line, struct buf *out)
{
    uint32_t limit = places_limit(line->places);

    buf_printf(out, "service %.*s: %zu conversations in all workers",
               STR_ARGS(line->master_line->name), places_count(line->places));
    if (limit > 0)
        buf_printf(out, ", %u at most", (unsigned)limit);
    if (line->stressed != NULL &&
        places_had_overload(line->places, loop_now_ms(line->server->loop),
                            line->calm->config->waypost_stress_time * 1000))
        buf_append_text(out, "; new ones with stress=yes");
    buf_append_byte(out, '\n');
}
