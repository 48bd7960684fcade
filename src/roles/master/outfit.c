/* SPDX-License-Identifier: Apache-2.0 */
#include "outfit.h"

#include "base/clock.h"
#include "net/tls_tickets.h"
#include "wire/wire.h"

#include <string.h>

static void send_listeners(struct process *process)
{
    const struct sockets *sockets = process->supervisor->sockets;

    for (size_t i = 0; i < sockets->count; i++) {
        const struct listening *each = &sockets->entries[i];
        if (strcmp(each->role, process->role->name) != 0)
            continue;
        struct wire_control_listener message = { .service_line = each->service_line,
                                                 .socket = each->fd };
        wire_send_control_listener(process->control, &message);
    }
}

void outfit_send_configuration(struct process *process)
{
    struct wire_control_configuration message = { .snapshot = process->supervisor->snapshot_fd };

    wire_send_control_configuration(process->control, &message);
}

/* Before the listeners, which are set up with them. */
static void send_tickets(struct process *process)
{
    struct tls_tickets *tickets = process->supervisor->tickets;
    unsigned char seed[TICKET_SEED_BYTES];
    struct wire_control_tickets message = { .seed = { (const char *)seed, sizeof seed } };

    if (strcmp(process->role->name, "smtpd") != 0 || tickets == NULL)
        return;
    tls_tickets_get_seed(tickets, clock_wall_ms() / 1000, seed, &message.period);
    wire_send_control_tickets(process->control, &message);
}

static void send_places(struct process *process)
{
    if (strcmp(process->role->name, "smtpd") == 0)
        service_places_send(process->supervisor->places, process->control, process->worker);
}

static void send_log_input(struct process *process)
{
    if (strcmp(process->role->name, "log") == 0)
        wire_send_control_peer(process->control, &(struct wire_control_peer){
                                                     .role = STR("log-input"),
                                                     .socket = process->supervisor->log_read_fd });
}

void outfit_send(struct process *process)
{
    outfit_send_configuration(process);
    send_tickets(process);
    send_places(process);
    send_listeners(process);
    send_log_input(process);
}
