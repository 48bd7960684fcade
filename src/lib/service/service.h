/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The skeleton under every role. The master starts `waypost role NAME` with two descriptors:
 * 3 its control channel (wire/control.def) and 4 the log socket. service_main reads the
 * configuration, listeners and peers from the control channel, calls the role, confines the process
 * and runs its loop until it is told to drain or its master is gone.
 */
#pragma once

#include "base/log.h"
#include "config/config.h"
#include "net/channel.h"
#include "wire/connector.h"
#include "wire/wire.h"

struct service {
    const struct role *role;
    struct loop *loop;
    struct log *log;
    struct log_context log_context; /* the role's own tag, "postfix/qmgr" */
    struct config_source *source;
    struct config *config; /* main.cf with the overrides of the role's own service line */
    uint32_t worker;       /* unique among all processes of this master's life */
    bool is_draining;
    struct arena arena;          /* lives as long as the service */
    struct connector *connector; /* for service/endpoint.h */
    struct tls_tickets *tickets; /* NULL: the role was given none */
    void *state;                 /* the role's */
};

/* A role is this declaration, in its main.c. Each function may be NULL. All run in the loop,
 * outside of fibers. */
struct role {
    const char *name;     /* "smtpd" */
    const char *log_name; /* "smtpd", "qmgr": what Postfix calls it, behind syslog_name */
    const char *command;  /* the master.cf command whose line overrides apply, "qmgr"; or NULL */
    /* Everything that needs files or rights: tables, certificates. Sets service->state. */
    bool (*start)(struct service *service, struct error *error);
    /* Drops what is not needed any more; after this the process is confined. */
    bool (*confine)(struct service *service, struct error *error);
    /* A listening socket for a line of master.cf; the descriptor is the role's. Before `ready`. */
    bool (*listener)(struct service *service, const struct master_service *line, int fd,
                     struct error *error);
    /* The places of a line of master.cf, before its listeners; the memory's descriptor is the
     * role's. */
    bool (*places)(struct service *service, const struct master_service *line,
                   const struct wire_control_places *places, struct error *error);
    /* One of them is free again: go on accepting. */
    void (*place_free)(struct service *service, uint32_t number);
    /* A channel to another role's worker, at start or later; the descriptor is the role's. Worker
     * numbers never repeat: one that is replaced lives on beside its successor until it drained.
     * Of the queue and the resolver the newest counts. */
    bool (*peer)(struct service *service, struct str role, uint32_t worker, int fd,
                 struct error *error);
    /* Everything is there, mail may flow. */
    void (*ready)(struct service *service);
    /* Its tables are asked in fibers, so they may be on servers: tcp and socketmap. */
    bool may_ask_table_servers;
    /* A new configuration to work with in place (only roles that ask for it: `reloads`). The old
     * service->config is freed by the skeleton after this returns true. */
    bool reloads;
    bool (*reload)(struct service *service, struct config_source *source, struct config *config,
                   struct error *error);
    /* False: something still uses the configuration in force; the new one waits until the role
     * calls service_reload. NULL: it never does. */
    bool (*may_reload)(const struct service *service);
    void (*wakeup)(struct service *service, uint8_t reason);
    /* Stop taking work; call service_drained when nothing is left. After `deadline_ms` (monotonic)
     * the skeleton ends the process anyway. NULL = nothing to finish. */
    void (*drain)(struct service *service, int64_t deadline_ms);
    /* Appends the role's counters to the fiber dump for `postfix status -v`. */
    void (*status)(struct service *service, struct buf *out);
    /* Frees everything (sanitizer runs want it). */
    void (*stop)(struct service *service);
};

/* Returns the process's exit status. */
int service_main(const struct role *role);
void service_drained(struct service *service);
/* A place was given back for which somebody waits: the others hear of it. */
void service_tell_place_left(struct service *service, uint32_t number);
/* A configuration that waits, if any, is taken now. Outside of fibers. */
void service_reload(struct service *service);
/* Has the role's own service-specific log tag: "postfix/smtpd", or with a line's syslog_name
 * override "relay-zombig-name/smtp". Lives as long as the service. */
struct log_context service_log_context(struct service *service, const struct config *config,
                                       const char *program);
