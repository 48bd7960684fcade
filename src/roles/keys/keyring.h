/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The private keys that the services of master.cf name, main.cf with each line's own parameters,
 * and the tables of tls_server_sni_maps. Read once, before the role is confined. Belongs to the
 * role.
 */
#pragma once

#include "net/tls_keys.h"
#include "service/service.h"
#include "sni_maps.h"

enum { SNI_MAPS_MAX = 64 };

struct keyring {
    struct tls_keys *keys;
    struct sni_maps *sni_maps[SNI_MAPS_MAX];
    size_t sni_maps_count;
};

/* Keys that are of no use are no error: the log says so as the service would, and whoever asks for
 * one of them learns that it is not there. */
must_check bool keyring_open(struct keyring *keyring, struct service *service, struct error *error);
void keyring_close(struct keyring *keyring);
/* The owner that a key has here: a service of a role, "smtpd/submission" or "smtp/relay". So the
 * workers of one role cannot name what is another's. */
struct str keyring_owner(struct arena *arena, const char *role, struct str service);
/* NULL: no service has that value. */
const struct sni_maps *keyring_find_maps(const struct keyring *keyring, struct str text);
