/* SPDX-License-Identifier: Apache-2.0 */
#include "net/listener.h"

#include "base/file.h"
#include "base/memory.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    ACCEPTS_MAX = 64,  /* in one go, before the rest of the loop runs */
    SHORTAGE_MS = 200, /* the pause when descriptors or memory ran out */
};

struct listener {
    struct loop *loop;
    struct watch watch;
    struct timer again; /* goes on after a shortage, or after ACCEPTS_MAX */
    int fd;
    bool is_paused; /* by the owner */
    bool is_freed;  /* inside `accepted` */
    bool is_accepting;
    void (*accepted)(void *argument, int fd, const struct net_address *peer);
    bool (*may_accept)(void *argument); /* NULL: nobody is asked */
    void (*came_to_nothing)(void *argument);
    void *argument;
};

static bool is_shortage(int code)
{
    return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}

/* Registering reports what waits already, so nothing is missed by closing the watch for a while.
 * EPOLLEXCLUSIVE: of the workers that share the socket the kernel wakes one that is idle. */
static bool listen_on(struct listener *listener, struct error *error)
{
    return watch_open(listener->loop, &listener->watch, listener->fd, EPOLLIN | EPOLLEXCLUSIVE,
                      listener->watch.ready, error);
}

static void go_on(struct timer *timer)
{
    struct listener *listener = list_entry(timer, struct listener, again);
    struct error error;

    watch_close(listener->loop, &listener->watch);
    if (!listen_on(listener, &error))
        timer_set(listener->loop, timer, loop_now_ms(listener->loop) + SHORTAGE_MS, go_on);
}

static void pause_for(struct listener *listener, int64_t pause_ms)
{
    /* Not registered meanwhile: the kernel is to wake another worker. */
    watch_close(listener->loop, &listener->watch);
    timer_set(listener->loop, &listener->again, loop_now_ms(listener->loop) + pause_ms, go_on);
}

static void destroy(struct listener *listener)
{
    close(listener->fd);
    memory_free(listener);
}

/* True when there may be another one at once. */
static bool accept_one(struct listener *listener)
{
    struct sockaddr_storage sockaddr;
    struct net_address peer;
    socklen_t len = sizeof sockaddr;

    if (listener->may_accept != NULL && !listener->may_accept(listener->argument))
        return false;
    int fd =
        accept4(listener->fd, (struct sockaddr *)&sockaddr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    int code = errno;
    if (fd >= 0) {
        net_address_from_sockaddr((const struct sockaddr *)&sockaddr, len, &peer);
        listener->accepted(listener->argument, fd, &peer);
        return true;
    }
    if (listener->came_to_nothing != NULL)
        listener->came_to_nothing(listener->argument);
    if (is_shortage(code))
        pause_for(listener, SHORTAGE_MS);
    /* The others concern one connection that is gone already, or an interrupted call. */
    return code != EAGAIN && !is_shortage(code);
}

static void accept_many(struct watch *watch, uint32_t events)
{
    struct listener *listener = list_entry(watch, struct listener, watch);
    bool may_be_more = true;

    listener->is_accepting = true;
    for (int i = 0; i < ACCEPTS_MAX && may_be_more; i++)
        may_be_more = !listener->is_paused && !listener->is_freed && accept_one(listener);
    listener->is_accepting = false;
    if (listener->is_freed)
        destroy(listener);
    else if (may_be_more && !listener->is_paused && listener->again.heap_slot == 0)
        pause_for(listener, 0);
}

struct listener *listener_new(struct loop *loop, int fd,
                              void (*accepted)(void *argument, int fd,
                                               const struct net_address *peer),
                              void *argument, struct error *error)
{
    struct listener *listener = memory_new(sizeof *listener);
    int one = 1;

    /* Connections inherit it: streams send whole batches. Not a TCP socket: no harm. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    listener->loop = loop;
    listener->fd = fd;
    listener->accepted = accepted;
    listener->argument = argument;
    listener->watch.fd = -1;
    listener->watch.ready = accept_many;
    if (fd_set_nonblocking(fd, error) && listen_on(listener, error))
        return listener;
    destroy(listener);
    return NULL;
}

void listener_guard(struct listener *listener, bool (*may_accept)(void *argument),
                    void (*came_to_nothing)(void *argument))
{
    listener->may_accept = may_accept;
    listener->came_to_nothing = came_to_nothing;
}

void listener_pause(struct listener *listener)
{
    listener->is_paused = true;
    watch_close(listener->loop, &listener->watch);
    timer_clear(listener->loop, &listener->again);
}

void listener_resume(struct listener *listener)
{
    if (!listener->is_paused)
        return;
    listener->is_paused = false;
    pause_for(listener, 0);
}

void listener_free(struct listener **listener)
{
    struct listener *freed = *listener;

    *listener = NULL;
    if (freed == NULL)
        return;
    listener_pause(freed);
    freed->is_freed = true;
    if (!freed->is_accepting)
        destroy(freed);
}
