/* SPDX-License-Identifier: Apache-2.0 */
#include "net/listener.h"

#include "base/memory.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    ACCEPTS_PER_TURN = 64, /* then other connections have their turn */
    OUT_OF_RESOURCES_MS = 100,
};

struct listener {
    struct loop *loop;
    struct watch watch;
    int fd;
    struct timer again;
    bool is_paused;
    void (*accepted)(void *argument, int fd, const struct net_address *peer);
    void *argument;
    bool is_accepting; /* `accepted` may free the listener: it then goes when this is over */
    bool is_doomed;
};

static void accept_turn(struct listener *listener);

static void again_due(struct timer *timer)
{
    accept_turn(list_entry(timer, struct listener, again));
}

static void again_after(struct listener *listener, int64_t duration_ms)
{
    timer_set(listener->loop, &listener->again, loop_now_ms(listener->loop) + duration_ms,
              again_due);
}

/* What a connection that died before it was accepted, or a lack of resources, mean: see accept(2).
 * True: try the next one now. */
static bool is_passing(struct listener *listener, int accept_errno)
{
    switch (accept_errno) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        again_after(listener, OUT_OF_RESOURCES_MS);
        return false;
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
        return false;
    default:
        return true;
    }
}

static void hand_over(struct listener *listener, int fd, const struct sockaddr_storage *from,
                      socklen_t len)
{
    struct net_address peer;

    net_address_from_sockaddr((const struct sockaddr *)from, len, &peer);
    listener->accepted(listener->argument, fd, &peer);
}

static void destroy(struct listener *listener)
{
    timer_clear(listener->loop, &listener->again);
    watch_close(listener->loop, &listener->watch);
    close(listener->fd);
    memory_free(listener);
}

static void accept_some(struct listener *listener)
{
    for (int count = 0; !listener->is_doomed && !listener->is_paused; count++) {
        struct sockaddr_storage from;
        socklen_t len = sizeof from;
        if (count == ACCEPTS_PER_TURN) {
            again_after(listener, 0);
            return;
        }
        int fd = accept4(listener->fd, (struct sockaddr *)&from, &len,
                         SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            hand_over(listener, fd, &from, len);
        else if (!is_passing(listener, errno))
            return;
    }
}

static void accept_turn(struct listener *listener)
{
    listener->is_accepting = true;
    accept_some(listener);
    listener->is_accepting = false;
    if (listener->is_doomed)
        destroy(listener);
}

static void listener_ready(struct watch *watch, uint32_t events)
{
    (void)events;
    accept_turn(list_entry(watch, struct listener, watch));
}

struct listener *listener_new(struct loop *loop, int fd,
                              void (*accepted)(void *argument, int fd,
                                               const struct net_address *peer),
                              void *argument, struct error *error)
{
    struct listener *listener = memory_new(sizeof *listener);

    listener->loop = loop;
    listener->fd = fd;
    listener->accepted = accepted;
    listener->argument = argument;
    /* Several workers share the socket: one of them is woken, not all. */
    if (!watch_open(loop, &listener->watch, fd, EPOLLIN | EPOLLEXCLUSIVE, listener_ready, error)) {
        close(fd);
        memory_free(listener);
        return NULL;
    }
    again_after(listener, 0); /* connections that came before the descriptor was watched */
    return listener;
}

void listener_free(struct listener **listener)
{
    if (*listener == NULL)
        return;
    if ((*listener)->is_accepting)
        (*listener)->is_doomed = true;
    else
        destroy(*listener);
    *listener = NULL;
}

void listener_pause(struct listener *listener)
{
    listener->is_paused = true;
    timer_clear(listener->loop, &listener->again);
}

void listener_resume(struct listener *listener)
{
    if (!listener->is_paused)
        return;
    listener->is_paused = false;
    again_after(listener, 0);
}
