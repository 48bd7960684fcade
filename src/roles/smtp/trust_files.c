/* SPDX-License-Identifier: Apache-2.0 */
#include "trust_files.h"

#include "base/base64.h"
#include "base/file.h"
#include "tlsa.h"

enum { FILE_BYTES_MAX = 1024 * 1024, SELECTOR_CERTIFICATE = 0, SELECTOR_KEY = 1 };

static bool selector_of(struct str label, uint8_t *selector)
{
    *selector = str_equal(label, STR("PUBLIC KEY")) ? SELECTOR_KEY : SELECTOR_CERTIFICATE;
    return *selector == SELECTOR_KEY || str_equal(label, STR("CERTIFICATE")) ||
           str_equal(label, STR("X509 CERTIFICATE"));
}

/* The lines between BEGIN and END. */
static bool read_object(struct str *text, struct buf *der)
{
    autofree_buf struct buf code = { 0 };

    while (text->len > 0) {
        struct str line = str_trim(str_cut(text, "\n"));
        if (str_starts_with(line, STR("-----END ")))
            return base64_decode(buf_str(&code), der) && der->len > 0;
        buf_append(&code, line);
    }
    return false;
}

static bool take_objects(struct arena *arena, struct str text, struct trust_files *files)
{
    static const struct str begin = STR_INIT("-----BEGIN "), end = STR_INIT("-----");

    while (text.len > 0) {
        struct str line = str_trim(str_cut(&text, "\n"));
        autofree_buf struct buf der = { 0 };
        uint8_t selector;
        if (!str_starts_with(line, begin) || !str_ends_with(line, end) ||
            line.len < begin.len + end.len)
            continue;
        struct str label = str_take(str_skip(line, begin.len), line.len - begin.len - end.len);
        if (!selector_of(label, &selector))
            continue;
        if (files->count == TRUST_FILE_ANCHORS_MAX || !read_object(&text, &der))
            return false;
        files->anchors[files->count++] = (struct tls_tlsa){ TLSA_TRUST_ANCHOR, selector, TLSA_FULL,
                                                            arena_copy(arena, buf_str(&der)) };
    }
    return true;
}

bool trust_files_read(struct arena *arena, struct str list, struct trust_files *files,
                      struct error *error)
{
    struct str path;

    files->count = 0;
    while (str_next_word(&list, ", \t\r\n", &path)) {
        autofree_buf struct buf text = { 0 };
        size_t before = files->count;
        if (!file_read(arena_text(arena, path), FILE_BYTES_MAX, &text, error))
            return error_context(error, "error opening trust anchor file");
        if (!take_objects(arena, buf_str(&text), files) || files->count == before)
            return error_set(error, "error loading trust anchor file: %.*s", STR_ARGS(path));
    }
    return true;
}
