/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the file holds, there are four templates, and a notice with them is one of clean lines. */
#include "base/ensure.h"
#include "mail/dsn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config *config_make(void)
{
    static struct config_source source;
    static struct config *config;
    struct error error;

    if (config != NULL)
        return config;
    ensure(config_source_parse("/tmp", STR("myhostname = a.example\nmydomain = example\n"), STR(""),
                               &source, &error));
    config = config_new(&source, NULL, NULL, NULL, &error);
    ensure(config != NULL);
    return config;
}

static void check(const struct bounce_template *template)
{
    struct envelope envelope = { .sender = STR("a@b") };
    struct recipient recipient = { .address = STR("c@d"), .dsn_status = STR("5.0.0") };
    struct dsn_recipient failed = { .recipient = &recipient };
    struct dsn dsn = {
        .template = template,
        .to = STR("a@b"),
        .envelope = &envelope,
        .recipients = &failed,
        .recipient_count = 1,
    };
    autofree_buf struct buf out = { 0 };

    ensure(template->charset.len > 0 && template->subject.len > 0 && template->text.len > 0);
    dsn_format(&dsn, &out);
    for (size_t i = 0; i < out.len; i++)
        ensure(out.ptr[i] != '\0' && (out.ptr[i] == '\n') == (i > 0 && out.ptr[i - 1] == '\r'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autoclear_arena struct arena arena = { 0 };
    struct bounce_templates templates;

    bounce_templates_make(&arena, config_make(), "file", str_of((const char *)data, size), NULL,
                          &templates);
    for (int i = 0; i < TEMPLATE_KINDS; i++)
        check(&templates.kinds[i]);
    return 0;
}
