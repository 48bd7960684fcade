/* SPDX-License-Identifier: Apache-2.0 */
/* A datagram as the log role receives it, from a role that was taken over. */
#include "base/log.h"

#include "base/ensure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *end = (const char *)data + size;
    struct str datagram = str_of((const char *)data, size);
    struct log_record record;
    size_t left = datagram.len;

    while (log_record_parse(&datagram, &record)) {
        ensure(datagram.len < left);
        left = datagram.len;
        ensure(record.tag.ptr + record.tag.len == record.text.ptr);
        ensure(record.text.ptr + record.text.len == datagram.ptr);
        ensure(datagram.ptr + datagram.len == end);
        ensure(severity_word(record.severity) != NULL);
    }
    return 0;
}
