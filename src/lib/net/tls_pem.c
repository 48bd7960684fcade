/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_pem.h"

#define BEGIN  "-----BEGIN "
#define END    "-----END "
#define DASHES "-----"

static enum tls_pem_kind kind_of(struct str type)
{
    if (str_ends_with(type, STR("PRIVATE KEY")))
        return TLS_PEM_KEY;
    if (str_equal(type, STR("CERTIFICATE")) || str_equal(type, STR("X509 CERTIFICATE")) ||
        str_equal(type, STR("TRUSTED CERTIFICATE")))
        return TLS_PEM_CERTIFICATE;
    return TLS_PEM_OTHER;
}

static bool is_end(struct str line, struct str type)
{
    return str_starts_with(line, STR(END)) && str_starts_with(str_skip(line, strlen(END)), type) &&
           str_starts_with(str_skip(line, strlen(END) + type.len), STR(DASHES));
}

/* Between its two lines a block has no dashes. One that has is none, and what is inside may be. */
bool tls_pem_next(struct str *rest, struct tls_pem_block *block)
{
    ptrdiff_t begin, dashes;

    while ((begin = str_find(*rest, STR(BEGIN))) >= 0) {
        struct str from = str_skip(*rest, (size_t)begin);
        struct str behind = str_skip(from, strlen(BEGIN));
        if ((dashes = str_find(behind, STR(DASHES))) < 0)
            return false;
        block->type = str_take(behind, (size_t)dashes);
        behind = str_skip(behind, block->type.len + strlen(DASHES));
        if ((dashes = str_find(behind, STR(DASHES))) < 0)
            return false;
        *rest = str_skip(behind, (size_t)dashes);
        if (!is_end(*rest, block->type))
            continue;
        *rest = str_skip(*rest, strlen(END) + block->type.len + strlen(DASHES));
        block->kind = kind_of(block->type);
        block->text = str_take(from, (size_t)(rest->ptr - from.ptr));
        return true;
    }
    return false;
}

void tls_pem_blank(struct str pem, struct buf *out)
{
    struct tls_pem_block block;

    while (tls_pem_next(&pem, &block)) {
        if (block.kind == TLS_PEM_KEY)
            buf_printf(out, BEGIN "%.*s" DASHES "\n" END "%.*s" DASHES, STR_ARGS(block.type),
                       STR_ARGS(block.type));
        else if (block.kind == TLS_PEM_CERTIFICATE)
            buf_append(out, block.text);
        else
            continue;
        buf_append_byte(out, '\n');
    }
}
