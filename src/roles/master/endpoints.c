/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoints.h"

#include "base/file.h"
#include "base/memory.h"
#include "wire/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

struct endpoints {
    size_t count;
    struct {
        struct sockaddr_storage address;
        socklen_t len;
    } entries[ENDPOINTS_MAX];
};

struct endpoints *endpoints_new(void)
{
    return memory_new(sizeof(struct endpoints));
}

void endpoints_free(struct endpoints **endpoints)
{
    memory_free(*endpoints);
    *endpoints = NULL;
}

bool endpoints_name(struct endpoints *endpoints, struct channel *control, struct str payload)
{
    struct wire_control_endpoint message;

    if (!wire_decode_control_endpoint(control, payload, &message) ||
        endpoints->count == ENDPOINTS_MAX ||
        message.address.len > sizeof endpoints->entries[0].address ||
        message.address.len < sizeof(sa_family_t))
        return false;
    memcpy(&endpoints->entries[endpoints->count].address, message.address.ptr, message.address.len);
    endpoints->entries[endpoints->count++].len = (socklen_t)message.address.len;
    return true;
}

/* A socket whose connection has begun; -1 with errno. */
static int begin(const struct sockaddr_storage *address, socklen_t len)
{
    autoclose int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || (connect(fd, (const struct sockaddr *)address, len) < 0 && errno != EINPROGRESS))
        return -1;
    return fd_take(&fd);
}

void endpoints_answer(struct channel *control, uint32_t token, int fd)
{
    if (fd < 0)
        wire_send_control_not_connected(control, &(struct wire_control_not_connected){
                                                     .token = token, .code = (uint32_t)errno });
    else
        wire_send_control_connected(
            control, &(struct wire_control_connected){ .token = token, .socket = fd });
}

bool endpoints_connect(struct endpoints *endpoints, struct channel *control, struct str payload)
{
    struct wire_control_connect message;

    if (!wire_decode_control_connect(control, payload, &message) ||
        message.endpoint >= endpoints->count)
        return false;
    autoclose int fd = begin(&endpoints->entries[message.endpoint].address,
                             endpoints->entries[message.endpoint].len);
    endpoints_answer(control, message.token, fd);
    return true;
}
