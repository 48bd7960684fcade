/* SPDX-License-Identifier: Apache-2.0 */
#include "service/manager.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The manager may be gone or deaf; then there is nobody to tell that. */
static void tell(const char *lines)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = path != NULL ? strlen(path) : 0;

    if (len < 2 || len >= sizeof address.sun_path || (*path != '/' && *path != '@'))
        return;
    memcpy(address.sun_path, path, len);
    if (*path == '@') /* an abstract name: it starts with a NUL and has none at its end */
        address.sun_path[0] = '\0';
    autoclose int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    (void)sendto(fd, lines, strlen(lines), MSG_NOSIGNAL | MSG_DONTWAIT,
                 (const struct sockaddr *)&address, size);
}

void manager_tell_ready(const char *status)
{
    autoclear_arena struct arena scratch = { 0 };

    tell(arena_printf(&scratch, "READY=1\nSTATUS=%s\n", status));
}

void manager_tell_reloading(void)
{
    autoclear_arena struct arena scratch = { 0 };

    tell(arena_printf(&scratch, "RELOADING=1\nMONOTONIC_USEC=%lld\n",
                      (long long)clock_monotonic_ms() * 1000));
}

void manager_tell_stopping(void)
{
    tell("STOPPING=1\n");
}

void manager_tell_alive(void)
{
    tell("WATCHDOG=1\n");
}

int64_t manager_alive_period_ms(void)
{
    const char *period = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");

    if (period == NULL || getenv("NOTIFY_SOCKET") == NULL)
        return 0;
    if (pid != NULL && strtol(pid, NULL, 10) != (long)getpid())
        return 0;
    long long usec = strtoll(period, NULL, 10);
    return usec > 0 ? (int64_t)(usec / 1000 / 3) : 0;
}
