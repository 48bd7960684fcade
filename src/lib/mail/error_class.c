/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/error_class.h"

unsigned error_classes_parse(struct str text)
{
    static const struct {
        struct str name;
        unsigned bit;
    } classes[] = {
        { STR_INIT("bounce"), ERROR_CLASS_BOUNCE },
        { STR_INIT("2bounce"), ERROR_CLASS_2BOUNCE },
        { STR_INIT("data"), ERROR_CLASS_DATA },
        { STR_INIT("delay"), ERROR_CLASS_DELAY },
        { STR_INIT("policy"), ERROR_CLASS_POLICY },
        { STR_INIT("protocol"), ERROR_CLASS_PROTOCOL },
        { STR_INIT("resource"), ERROR_CLASS_RESOURCE },
        { STR_INIT("software"), ERROR_CLASS_SOFTWARE },
    };
    unsigned bits = 0;
    struct str word;

    while (str_next_word(&text, ", \t\r\n", &word))
        for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
            if (str_equal_fold(word, classes[i].name))
                bits |= classes[i].bit;
    return bits;
}
