/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_files.h"

#include "config/config.h"

struct tls_files tls_files_of_server(const struct config *config)
{
    return (struct tls_files){ .chain_files = config->smtpd_tls_chain_files,
                               .rsa_cert = config->smtpd_tls_cert_file,
                               .rsa_key = config->smtpd_tls_key_file,
                               .dsa_cert = config->smtpd_tls_dcert_file,
                               .dsa_key = config->smtpd_tls_dkey_file,
                               .ec_cert = config->smtpd_tls_eccert_file,
                               .ec_key = config->smtpd_tls_eckey_file,
                               .ca_file = config->smtpd_tls_CAfile,
                               .ca_path = config->smtpd_tls_CApath,
                               .appends_default_ca = config->tls_append_default_CA };
}

struct tls_files tls_files_of_client(const struct config *config)
{
    return (struct tls_files){ .chain_files = config->smtp_tls_chain_files,
                               .rsa_cert = config->smtp_tls_cert_file,
                               .rsa_key = config->smtp_tls_key_file,
                               .dsa_cert = config->smtp_tls_dcert_file,
                               .dsa_key = config->smtp_tls_dkey_file,
                               .ec_cert = config->smtp_tls_eccert_file,
                               .ec_key = config->smtp_tls_eckey_file,
                               .ca_file = config->smtp_tls_CAfile,
                               .ca_path = config->smtp_tls_CApath,
                               .appends_default_ca = config->tls_append_default_CA };
}

bool tls_files_have_keys(const struct tls_files *files)
{
    return files->chain_files.len > 0 || files->rsa_cert.len > 0 || files->dsa_cert.len > 0 ||
           files->ec_cert.len > 0;
}

bool tls_files_server_wants_keys(const struct config *config)
{
    const struct tls_files files = tls_files_of_server(config);
    struct str level = config->smtpd_tls_security_level;
    bool speaks_tls = level.len > 0 ? !str_equal_fold(level, STR("none"))
                                    : config->smtpd_enforce_tls || config->smtpd_use_tls;

    return (speaks_tls || config->smtpd_tls_wrappermode) && tls_files_have_keys(&files);
}

/* A policy table may ask for TLS where nothing else does. */
bool tls_files_client_wants_keys(const struct config *config)
{
    const struct tls_files files = tls_files_of_client(config);

    return tls_files_have_keys(&files);
}
