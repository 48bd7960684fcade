/* SPDX-License-Identifier: Apache-2.0 */
/* The frames that a user may send to postdrop, which runs with the maildrop's group. What it takes
 * is a file that pickup can read. */
#include "memory_file.h"

#include "base/file.h"
#include "drop.h"
#include "mail/maildrop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_file(int fd)
{
    autofree_buf struct buf file = { 0 };
    autoclear_arena struct arena arena = { 0 };
    struct maildrop_header header;
    struct maildrop_envelope envelope;
    struct error error;
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ensure(file_read(path, 4 * 1024 * 1024, &file, &error));
    struct str bytes = buf_str(&file);
    ensure(maildrop_header_decode(str_take(bytes, MAILDROP_HEADER_BYTES), &header, &error));
    struct str content = str_take(str_skip(bytes, MAILDROP_HEADER_BYTES), header.content_bytes);
    struct str rest = str_skip(bytes, MAILDROP_HEADER_BYTES + header.content_bytes);
    ensure(rest.len == header.envelope_bytes && content.len == header.content_bytes);
    ensure(maildrop_crc(0, content) == header.content_crc);
    ensure(maildrop_crc(0, rest) == header.envelope_crc);
    ensure(maildrop_envelope_decode(&arena, rest, &envelope, &error));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error = { 0 };
    struct drop drop = { .folder_fd = -1,
                         .fd = memory_file_open("", 0, NULL, 0),
                         .size_limit_bytes = 5000 };
    int input = memory_file_open(data, size, NULL, 0);

    ensure(lseek(input, 0, SEEK_SET) == 0);
    if (drop_receive(&drop, input, &error) == DROP_OK)
        check_file(drop.fd);
    else
        ensure(error.message[0] != '\0');
    close(input);
    close(drop.fd);
    return 0;
}
