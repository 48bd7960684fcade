/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_server_sni_maps: keys and certificates by the name that a client asks for. Opened before the
 * role is confined.
 */
#pragma once

#include "base/list.h"
#include "base/log.h"
#include "net/tls.h"

struct sni_maps;

/* `text` is the parameter's value; both are copied. */
struct sni_maps *sni_maps_new(struct str text, const struct log_context *log);
void sni_maps_free(struct sni_maps **maps);
struct str sni_maps_text(const struct sni_maps *maps);
/* Appends the PEM text of a name, keys and all. A table that is a server's suspends the fiber. */
enum tls_chain_outcome sni_maps_find(const struct sni_maps *maps, struct str name,
                                     struct buf *chain);
