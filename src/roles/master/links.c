/* SPDX-License-Identifier: Apache-2.0 */
#include "links.h"

#include "base/clock.h"
#include "base/memory.h"
#include "wire/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RELINK_MS = 1000 }; /* by then a process that ended has been reaped */

/* Who has a channel to whom, and under which name, where that is not the role's own. */
struct link_row {
    const char *a, *b;
    const char *a_as, *b_as;
};
static const struct link_row topology[] = {
    { "smtpd", "queue", NULL, NULL },
    { "smtpd", "resolver", NULL, NULL },
    { "smtp", "queue", NULL, NULL },
    { "smtp", "resolver", NULL, NULL },
    { "smtp", "proxywrite", NULL, NULL },
    { "pickup", "queue", NULL, NULL },
    { "local", "queue", NULL, NULL },
    { "local", "queue", "forwarder", "intake" }, /* what it forwards is new mail */
    { "smtpd", "anvil", NULL, NULL },
    { "smtpd", "verify", NULL, NULL },
    { "smtpd", "sasl", NULL, NULL },
    { "smtpd", "keys", NULL, NULL },
    { "smtp", "keys", NULL, NULL },
    { "verify", "queue", NULL, NULL },
};

static void send_peer(struct process *process, const struct process *peer, const char *name, int fd)
{
    struct wire_control_peer message = {
        .role = str_from(name != NULL ? name : peer->role->name),
        .worker = peer->worker,
        .socket = fd,
    };

    wire_send_control_peer(process->control, &message);
}

static void link_processes(struct process *a, struct process *b, const struct link_row *row)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        log_warning(&a->supervisor->log_context,
                    "no channel between %s and %s: %s; trying again soon", a->role->name,
                    b->role->name, strerror(errno));
        links_lost(a, b->worker);
        return;
    }
    send_peer(a, b, row->b_as, pair[0]);
    send_peer(b, a, row->a_as, pair[1]);
    close(pair[0]);
    close(pair[1]);
}

/* Every channel that the two have. */
static void link_pair(struct process *one, struct process *other)
{
    for (size_t i = 0; i < sizeof topology / sizeof *topology; i++) {
        const struct link_row *row = &topology[i];
        if (strcmp(row->a, one->role->name) == 0 && strcmp(row->b, other->role->name) == 0)
            link_processes(one, other, row);
        else if (strcmp(row->a, other->role->name) == 0 && strcmp(row->b, one->role->name) == 0)
            link_processes(other, one, row);
    }
}

static struct process *find_worker(const struct supervisor *supervisor, uint32_t worker)
{
    list_each (link, &supervisor->processes) {
        struct process *process = list_entry(link, struct process, link);
        if (process->worker == worker && process->control != NULL)
            return process;
    }
    return NULL;
}

static void relink_free(struct relink *relink)
{
    timer_clear(relink->supervisor->loop, &relink->timer);
    list_remove(&relink->link);
    memory_free(relink);
}

static void relink_due(struct timer *timer)
{
    struct relink *relink = list_entry(timer, struct relink, timer);
    struct supervisor *supervisor = relink->supervisor;
    struct process *one = find_worker(supervisor, relink->one);
    struct process *other = find_worker(supervisor, relink->other);

    relink_free(relink);
    if (one == NULL || other == NULL || supervisor->is_stopping)
        return;
    log_warning(&supervisor->log_context,
                "%s pid %d and %s pid %d have no channel between them: making a new one",
                one->role->name, (int)one->pid, other->role->name, (int)other->pid);
    link_pair(one, other);
}

static bool is_to_be_relinked(const struct supervisor *supervisor, uint32_t one, uint32_t other)
{
    list_each (link, &supervisor->relinks) {
        const struct relink *relink = list_entry(link, struct relink, link);
        if ((relink->one == one && relink->other == other) ||
            (relink->one == other && relink->other == one))
            return true;
    }
    return false;
}

void links_lost(struct process *process, uint32_t lost_worker)
{
    struct supervisor *supervisor = process->supervisor;

    if (find_worker(supervisor, lost_worker) == NULL ||
        is_to_be_relinked(supervisor, process->worker, lost_worker))
        return;
    struct relink *relink = memory_new(sizeof *relink);
    relink->supervisor = supervisor;
    relink->one = process->worker;
    relink->other = lost_worker;
    list_append(&supervisor->relinks, &relink->link);
    timer_set(supervisor->loop, &relink->timer, clock_monotonic_ms() + RELINK_MS, relink_due);
}

void links_make(struct process *process)
{
    list_each (link, &process->supervisor->processes) {
        struct process *other = list_entry(link, struct process, link);
        if (other != process && other->control != NULL)
            link_pair(process, other);
    }
}

void links_clear(struct supervisor *supervisor)
{
    list_each_removable (link, &supervisor->relinks)
        relink_free(list_entry(link, struct relink, link));
}
