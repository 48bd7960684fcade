/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the service manager that started us is told: up, reloading, stopping, alive. It is systemd's
 * protocol, sd_notify(3): a datagram with NAME=value lines to the socket in $NOTIFY_SOCKET. Where
 * nobody asked for it nothing is sent. Only the master speaks.
 */
#pragma once

#include "base/error.h"

#include <stdint.h>

/* Up; also after a reload has ended, whatever became of it. `status` is a line for a person. */
void manager_tell_ready(const char *status);
void manager_tell_reloading(void);
void manager_tell_stopping(void);
void manager_tell_alive(void);
/* How often manager_tell_alive must be called at least, with room to spare; 0 = nobody waits. */
int64_t manager_alive_period_ms(void);
