/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and keys: missing, not of one pair, out of date. The server goes on offering
 * STARTTLS then, and answers it with 454. */
#include "check.h"

#include "base/clock.h"
#include "net/tls_pair.h"

#include <sys/stat.h>
#include <unistd.h>

enum { SOON_DAYS = 14, DAY_S = 24 * 60 * 60 };

static const struct {
    const char *certificate, *key;
} pairs[] = {
    { "smtpd_tls_cert_file", "smtpd_tls_key_file" },
    { "smtpd_tls_dcert_file", "smtpd_tls_dkey_file" },
    { "smtpd_tls_eccert_file", "smtpd_tls_eckey_file" },
    { "smtp_tls_cert_file", "smtp_tls_key_file" },
    { "smtp_tls_dcert_file", "smtp_tls_dkey_file" },
    { "smtp_tls_eccert_file", "smtp_tls_eckey_file" },
};

static void check_dates(struct check *check, struct check_place place, const char *certificate,
                        int64_t from_s, int64_t until_s)
{
    int64_t now_s = clock_wall_ms() / 1000;

    if (now_s < from_s)
        check_find(check, CHECK_ERROR, "certificate-not-valid-yet", place,
                   arena_printf(&check->arena, "%s is not valid before %lld days have passed",
                                certificate, (long long)((from_s - now_s) / DAY_S + 1)),
                   "set this machine's clock, or install a certificate that is valid now");
    else if (now_s > until_s)
        check_find(check, CHECK_ERROR, "certificate-expired", place,
                   arena_printf(&check->arena, "%s has been out of date for %lld days", certificate,
                                (long long)((now_s - until_s) / DAY_S)),
                   "renew it, then run \"postfix reload\"");
    else if (until_s - now_s < (int64_t)SOON_DAYS * DAY_S)
        check_find(check, CHECK_WARNING, "certificate-expires", place,
                   arena_printf(&check->arena, "%s goes out of date in %lld days", certificate,
                                (long long)((until_s - now_s) / DAY_S)),
                   "renew it, then run \"postfix reload\"");
}

static void check_pair(struct check *check, const char *certificate_name, const char *key_name)
{
    struct check_setting certificate = check_setting_of(check, certificate_name);
    struct check_setting key = check_setting_of(check, key_name);
    int64_t from_s = 0, until_s = 0;
    struct error error = { 0 };
    struct stat status;

    if (str_is_empty(certificate.value) || str_equal(certificate.value, STR("none")))
        return;
    const char *certificate_file = arena_text(&check->arena, certificate.value);
    const char *key_file =
        str_is_empty(key.value) ? certificate_file : arena_text(&check->arena, key.value);
    switch (tls_pair_inspect(certificate_file, key_file, &from_s, &until_s, &error)) {
    case TLS_PAIR_UNREADABLE:
        check_find(check, CHECK_ERROR, "certificate-unreadable", certificate.place,
                   arena_printf(&check->arena, "%s: TLS does not work with it", error.message),
                   "put the files there, or remove the two parameters");
        return;
    case TLS_PAIR_MISMATCH:
        check_find(check, CHECK_ERROR, "certificate-mismatch", certificate.place,
                   arena_printf(&check->arena,
                                "the key in %s is not that of the certificate in %s: "
                                "TLS does not work with them",
                                key_file, certificate_file),
                   "install the key that the certificate was made for");
        break;
    case TLS_PAIR_FINE:
        break;
    }
    check_dates(check, certificate.place, certificate_file, from_s, until_s);
    if (stat(key_file, &status) == 0 && (status.st_mode & 0004) != 0)
        check_find(check, CHECK_WARNING, "readable-secret", key.place,
                   arena_printf(&check->arena, "everybody on this machine may read the key in %s",
                                key_file),
                   arena_printf(&check->arena, "run \"chmod 600 %s\"", key_file));
}

static void check_file(struct check *check, const char *name)
{
    struct check_setting setting = check_setting_of(check, name);
    const char *path = arena_text(&check->arena, setting.value);

    if (str_is_empty(setting.value) || access(path, R_OK) == 0)
        return;
    check_find(check, CHECK_ERROR, "certificate-unreadable", setting.place,
               arena_printf(&check->arena,
                            "%s: %s cannot be read, and TLS does not work without it", name, path),
               "put the file there, or remove the parameter");
}

void check_certificates(struct check *check)
{
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        check_pair(check, pairs[i].certificate, pairs[i].key);
    check_file(check, "smtpd_tls_CAfile");
    check_file(check, "smtp_tls_CAfile");
}
