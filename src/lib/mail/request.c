/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/request.h"

static bool is_control(char byte)
{
    return ((unsigned char)byte < 0x20 && byte != '\t') || byte == 0x7f;
}

static struct str trim_blanks(struct str text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t'))
        text = str_skip(text, 1);
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}

bool request_parse(struct str line, struct request *request)
{
    *request = (struct request){ .verb = STR(""), .argument = STR("") };
    while (str_ends_with(line, STR("\r")))
        line.len--;
    for (size_t i = 0; i < line.len; i++)
        request->has_control |= is_control(line.ptr[i]);
    line = trim_blanks(line);
    request->verb = str_cut(&line, " \t");
    request->argument = trim_blanks(line);
    return request->verb.len > 0;
}

bool request_helo_is_valid(struct str argument)
{
    if (argument.len == 0)
        return false;
    for (size_t i = 0; i < argument.len; i++)
        if (is_control(argument.ptr[i]) || argument.ptr[i] == ' ' || argument.ptr[i] == '\t')
            return false;
    return true;
}
