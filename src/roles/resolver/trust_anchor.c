/* SPDX-License-Identifier: Apache-2.0 */
#include "trust_anchor.h"

#include "base/arena.h"
#include "base/file.h"

#include <unistd.h>

enum { ANCHOR_BYTES_MAX = 64 * 1024 };

static const char debian_file[] = "/usr/share/dns/root.key";

/* https://data.iana.org/root-anchors/root-anchors.xml */
static const char known[] =
    ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n"
    ". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16\n";

bool trust_anchor_next(struct str *text, struct str *record)
{
    while (text->len > 0) {
        struct str line = str_cut(text, "\n");
        *record = str_trim(str_cut(&line, ";"));
        if (record->len > 0)
            return true;
    }
    return false;
}

bool trust_anchors_read(struct str file, struct buf *text, struct error *error)
{
    autoclear_arena struct arena arena = { 0 };
    const char *path = file.len > 0 ? arena_text(&arena, file) : debian_file;
    struct str rest, record;

    if (file.len == 0 && access(path, R_OK) != 0) {
        buf_append_text(text, known);
        return true;
    }
    if (!file_read(path, ANCHOR_BYTES_MAX, text, error))
        return error_context(error, "dnssec_trust_anchor_file");
    rest = buf_str(text);
    return trust_anchor_next(&rest, &record) ||
           error_set(error, "dnssec_trust_anchor_file: no key in %s", path);
}
