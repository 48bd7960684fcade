/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cyrus SASL's library, which this role alone loads, with its plugins: configured by the file
 * NAME.conf (smtpd_sasl_path) in cyrus_sasl_config_path. No type of it is shown.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/log.h"
#include "config/config.h"
#include "service/cyrus.h"

struct sasl_library; /* one for the process */

/* `log` is borrowed. NULL with `error`: the library or its plugins do not load. */
struct sasl_library *sasl_library_new(const struct config *config, const struct log_context *log,
                                      struct error *error);
void sasl_library_free(struct sasl_library **library);
/* The data base of users (sasldb_path of the configuration file), for the confinement. */
const char *sasl_library_data_base(const struct sasl_library *library);

/* Names, separated by blanks. */
void sasl_library_mechanisms(struct sasl_library *library, struct buf *names);

struct sasl_exchange;
/* NULL with `error` where there can be none. */
struct sasl_exchange *sasl_exchange_new(struct sasl_library *library,
                                        const struct cyrus_request *request, struct error *error);
void sasl_exchange_free(struct sasl_exchange **exchange);
/* The first step takes the request's initial response, later ones what the client said, base64.
 * What it gives lives in `arena`. */
enum cyrus_step sasl_exchange_start(struct sasl_exchange *exchange, struct arena *arena,
                                    const struct cyrus_request *request, struct str *text,
                                    struct str *user);
enum cyrus_step sasl_exchange_step(struct sasl_exchange *exchange, struct arena *arena,
                                   struct str response, struct str *text, struct str *user);
