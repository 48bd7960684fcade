/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_server_sni_maps: keys and certificates by the name that a client asks for. Opened before the
 * role is confined.
 */
#pragma once

#include "base/log.h"
#include "config/config.h"
#include "net/tls.h"

struct sni_maps;

/* NULL: there are none. Borrows `log`. */
struct sni_maps *sni_maps_new(const struct config *config, const struct log_context *log);
void sni_maps_free(struct sni_maps **maps);
/* For tls_context_options.find_chain; `argument` is the maps. */
enum tls_chain_outcome sni_maps_find(void *argument, struct str name, struct buf *chain);
