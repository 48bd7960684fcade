/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening sockets: which ones the configuration asks for, opening them, and keeping the ones
 * that a new configuration still wants, so that no connection is refused meanwhile.
 */
#pragma once

#include "config/config.h"
#include "net/address.h"

struct listening {
    struct net_address address;
    int fd;
    uint32_t service_line; /* index into master.cf's services */
    const char *role;      /* who gets it: "smtpd", "queue" */
};

struct sockets {
    struct listening *entries;
    size_t count;
};

/* Opens what the configuration asks for. Sockets of `older` (may be NULL) with the same address
 * are used again: they move over. On failure `older` is as it was and nothing new stays open. */
must_check bool sockets_open(const struct config_source *source, const struct config *config,
                             struct sockets *older, struct sockets *sockets, struct error *error);
/* Closes what is left. */
void sockets_close(struct sockets *sockets);
