/* SPDX-License-Identifier: Apache-2.0 */
/* A maildrop file's header and envelope, and a frame header, from hostile bytes. What decodes must
 * encode and decode to the same again. */
#include "mail/maildrop.h"

#include "base/ensure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_envelope(struct str bytes)
{
    struct arena arena = { 0 };
    struct maildrop_envelope envelope, again;
    autofree_buf struct buf encoded = { 0 };
    struct error error;

    if (maildrop_envelope_decode(&arena, bytes, &envelope, &error)) {
        maildrop_envelope_encode(&envelope, &encoded);
        ensure(maildrop_envelope_decode(&arena, buf_str(&encoded), &again, &error));
        ensure(str_equal(envelope.envelope.sender, again.envelope.sender));
        ensure(envelope.envelope.recipient_count == again.envelope.recipient_count);
    }
    arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = str_of((const char *)data, size);
    struct maildrop_header header;
    enum maildrop_frame_kind kind;
    struct error error;
    uint32_t len;

    if (maildrop_header_decode(bytes, &header, &error))
        ensure(header.envelope_bytes <= MAILDROP_ENVELOPE_MAX);
    if (maildrop_frame_header_decode(str_take(bytes, MAILDROP_FRAME_HEADER_BYTES), &kind, &len))
        ensure(len <= MAILDROP_FRAME_MAX);
    check_envelope(bytes);
    return 0;
}
