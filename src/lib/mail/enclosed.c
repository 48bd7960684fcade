/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/enclosed.h"

size_t enclosed_length(struct str text, char close)
{
    for (size_t i = 1; i < text.len; i++) {
        if (text.ptr[i] == '\\')
            i++;
        else if (text.ptr[i] == close)
            return i + 1;
    }
    return 0;
}

size_t enclosed_comment_length(struct str text)
{
    size_t depth = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\\')
            i++;
        else if (text.ptr[i] == '(')
            depth++;
        else if (text.ptr[i] == ')' && --depth == 0)
            return i + 1;
    }
    return 0;
}
