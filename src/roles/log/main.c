/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log role: takes the lines of all roles from one datagram socket, in the order in which they
 * were written, and hands them to the log file or the system's logger.
 */
#include "order.h"
#include "sink.h"

#include "base/file.h"
#include "base/memory.h"
#include "roles.h"
#include "service/confinement.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
    DATAGRAM_BYTES_MAX = 256 * 1024,
    DATAGRAMS_PER_TURN = 64, /* then the loop may do something else */
    TICK_MS = 30,            /* longer than lines gather in a role: see service.c */
};

struct log_state {
    struct service *service;
    struct order *order;
    struct sink *sink;
    struct watch input;
    struct timer again;
    struct timer tick;
    char *datagram;
    uint64_t lines;
};

static void write_records(struct log_state *state, struct str datagram)
{
    struct log_record record;

    while (log_record_parse(&datagram, &record)) {
        order_add(state->order, &record);
        state->lines++;
    }
}

static void write_line(void *argument, const struct log_record *record)
{
    struct log_state *state = argument;

    sink_write(state->sink, record);
}

/* False when the socket is empty. */
static bool read_turn(struct log_state *state)
{
    for (int i = 0; i < DATAGRAMS_PER_TURN; i++) {
        ssize_t len = recv(state->input.fd, state->datagram, DATAGRAM_BYTES_MAX, MSG_DONTWAIT);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0)
            return false;
        write_records(state, str_of(state->datagram, (size_t)len));
    }
    return true;
}

static void again_due(struct timer *timer);

static void tick(struct timer *timer)
{
    struct log_state *state = list_entry(timer, struct log_state, tick);

    order_tick(state->order, write_line, state);
    sink_flush(state->sink);
    if (!order_is_empty(state->order))
        timer_set(state->service->loop, timer, loop_now_ms(state->service->loop) + TICK_MS, tick);
}

static void read_input(struct log_state *state)
{
    bool has_more = read_turn(state);

    if (!order_is_empty(state->order) && state->tick.heap_slot == 0)
        timer_set(state->service->loop, &state->tick, loop_now_ms(state->service->loop) + TICK_MS,
                  tick);
    if (has_more)
        timer_set(state->service->loop, &state->again, loop_now_ms(state->service->loop),
                  again_due);
}

static void again_due(struct timer *timer)
{
    read_input(list_entry(timer, struct log_state, again));
}

static void input_ready(struct watch *watch, uint32_t events)
{
    (void)events;
    read_input(list_entry(watch, struct log_state, input));
}

static bool start(struct service *service, struct error *error)
{
    struct log_state *state = memory_new(sizeof *state);

    service->state = state;
    state->service = service;
    state->input.fd = -1;
    state->datagram = memory_new(DATAGRAM_BYTES_MAX);
    state->order = order_new();
    state->sink = sink_new(service->loop, service->config, error);
    return state->sink != NULL;
}

static bool peer(struct service *service, struct str role, uint32_t worker, int fd,
                 struct error *error)
{
    struct log_state *state = service->state;

    (void)worker;
    if (!str_equal(role, STR("log-input")) || state->input.fd >= 0) {
        fd_close(&fd);
        return error_set(error, "an unexpected channel from \"%.*s\"", STR_ARGS(role));
    }
    return watch_open(service->loop, &state->input, fd, EPOLLIN, input_ready, error);
}

static bool confine(struct service *service, struct error *error)
{
    static const struct confinement confinement = { .rights = CONFINEMENT_LOCAL };

    return confinement_apply(service, &confinement, error);
}

static void ready(struct service *service)
{
    struct log_state *state = service->state;

    read_input(state);
}

/* All others have gone when the log is told to: what stands in the socket is all there is. At a
 * reload a successor reads on from the same socket. */
static void drain(struct service *service, int64_t deadline_ms)
{
    struct log_state *state = service->state;

    (void)deadline_ms;
    while (read_turn(state))
        continue;
    order_finish(state->order, write_line, state);
    sink_flush(state->sink);
    service_drained(service);
}

static void status(struct service *service, struct buf *out)
{
    const struct log_state *state = service->state;

    buf_printf(out, "lines %llu, lost %llu\n", (unsigned long long)state->lines,
               (unsigned long long)sink_lost_count(state->sink));
}

static void stop(struct service *service)
{
    struct log_state *state = service->state;
    int fd = state->input.fd;

    timer_clear(service->loop, &state->again);
    timer_clear(service->loop, &state->tick);
    if (fd >= 0)
        watch_close(service->loop, &state->input);
    fd_close(&fd);
    sink_free(&state->sink);
    order_free(&state->order);
    memory_free(state->datagram);
    memory_free(state);
}

const struct role log_role = {
    .name = "log",
    .log_name = "log",
    .start = start,
    .confine = confine,
    .peer = peer,
    .ready = ready,
    .drain = drain,
    .status = status,
    .stop = stop,
};
