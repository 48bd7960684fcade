/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ensure.h"
#include "net/tls_openssl.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

/* ---- verifying ---- */

/* Goes on whatever was found: the handshake is not where to refuse anybody. Remembers the failure
 * that is nearest to the peer's own certificate. */
int tls_certificate_verified(int is_fine, X509_STORE_CTX *store)
{
    const SSL *library = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls *tls = tls_of(library);
    X509 *certificate = X509_STORE_CTX_get_current_cert(store);
    int depth = X509_STORE_CTX_get_error_depth(store);
    char issuer[256];

    if (is_fine || (tls->verify_depth >= 0 && tls->verify_depth <= depth))
        return 1;
    tls->verify_depth = depth;
    tls->verify_error = X509_STORE_CTX_get_error(store);
    tls->verify_issuer = STR("");
    if (certificate != NULL) {
        X509_NAME_oneline(X509_get_issuer_name(certificate), issuer, sizeof issuer);
        tls->verify_issuer = arena_copy(&tls->arena, str_from(issuer));
    }
    return 1;
}

static void say_whose(const struct tls *tls, struct tls_facts *facts)
{
    facts->verify_whose = tls->verify_depth > 0     ? STR("CA ")
                          : tls->context->is_server ? STR("client ")
                                                    : STR("server ");
}

static void explain(const struct tls *tls, long result, struct arena *arena,
                    struct tls_facts *facts)
{
    const char *whom = tls->context->is_server ? "client" : "server";

    switch (result) {
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        facts->verify_problem = STR("self-signed certificate");
        return;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        facts->verify_problem =
            str_from(arena_printf(arena, "untrusted issuer %.*s", STR_ARGS(tls->verify_issuer)));
        return;
    case X509_V_ERR_CERT_NOT_YET_VALID:
    case X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD:
        say_whose(tls, facts);
        facts->verify_problem = STR("certificate not yet valid");
        return;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD:
        say_whose(tls, facts);
        facts->verify_problem = STR("certificate has expired");
        return;
    case X509_V_ERR_INVALID_PURPOSE:
        facts->verify_problem =
            str_from(arena_printf(arena, "not designated for use as a %s certificate", whom));
        return;
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
        facts->verify_problem = str_from(arena_printf(
            arena, "certificate chain longer than limit(%d)", SSL_get_verify_depth(tls->library)));
        return;
    default:
        say_whose(tls, facts);
        facts->verify_problem = str_from(
            arena_printf(arena, "num=%ld:%s", result, X509_verify_cert_error_string(result)));
    }
}

/* ---- names and fingerprints ---- */

/* A name from outside that is to stand in a log or header: plain text, or nothing. */
static struct str entry_text(struct arena *arena, X509_NAME *name, int kind)
{
    int at = X509_NAME_get_index_by_NID(name, kind, -1);
    unsigned char *utf8 = NULL;
    struct str text = STR("");

    if (at < 0)
        return text;
    ASN1_STRING *value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
    int len = ASN1_STRING_to_UTF8(&utf8, value);
    if (len < 0)
        return text;
    bool is_plain = len < 256;
    for (int i = 0; is_plain && i < len; i++)
        is_plain = utf8[i] >= 0x20 && utf8[i] != 0x7f && utf8[i] != '"' && utf8[i] != '\\';
    if (is_plain)
        text = arena_copy(arena, str_of((const char *)utf8, (size_t)len));
    OPENSSL_free(utf8);
    return text;
}

static struct str common_name(struct arena *arena, X509_NAME *name)
{
    struct str text = entry_text(arena, name, NID_commonName);

    return text.len > 0 ? text : entry_text(arena, name, NID_organizationName);
}

static struct str fingerprint_text(struct arena *arena, const unsigned char *digest, unsigned len)
{
    static const char digits[] = "0123456789ABCDEF";
    autofree_buf struct buf text = { 0 };

    for (unsigned i = 0; i < len; i++) {
        if (i > 0)
            buf_append_byte(&text, ':');
        buf_append_byte(&text, digits[digest[i] >> 4]);
        buf_append_byte(&text, digits[digest[i] & 15]);
    }
    return arena_copy(arena, buf_str(&text));
}

static struct str key_fingerprint(struct arena *arena, X509 *certificate, const EVP_MD *method)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned char *der = NULL;
    unsigned len = 0;
    int der_len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);

    if (der_len <= 0 || EVP_Digest(der, (size_t)der_len, digest, &len, method, NULL) != 1)
        len = 0;
    OPENSSL_free(der);
    return fingerprint_text(arena, digest, len);
}

static struct str whole_fingerprint(struct arena *arena, X509 *certificate, const EVP_MD *method)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (X509_digest(certificate, method, digest, &len) != 1)
        len = 0;
    return fingerprint_text(arena, digest, len);
}

static bool has_name(const struct tls *tls, X509 *certificate)
{
    /* Postfix 3.7 lets *.example.com name a.example.com alone, whatever
     * tls_wildcard_matches_multiple_labels says. */
    unsigned flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;

    for (size_t i = 0; i < tls->name_count; i++) {
        if (X509_check_host(certificate, tls->names[i].ptr, tls->names[i].len, flags, NULL) == 1 ||
            X509_check_ip_asc(certificate, tls->names[i].ptr, 0) == 1)
            return true;
    }
    ERR_clear_error();
    return false;
}

/* With or without colons between its bytes. */
static bool is_fingerprint(struct str wanted, struct str found)
{
    size_t w = 0, f = 0;

    while (w < wanted.len && f < found.len) {
        if (wanted.ptr[w] == ':')
            w++;
        else if (found.ptr[f] == ':')
            f++;
        else if (ascii_lower(wanted.ptr[w++]) != ascii_lower(found.ptr[f++]))
            return false;
    }
    return w == wanted.len && f == found.len && wanted.len > 0;
}

static bool has_fingerprint(const struct tls *tls, const struct tls_facts *facts)
{
    for (size_t i = 0; i < tls->fingerprint_count; i++) {
        if (is_fingerprint(tls->fingerprints[i], facts->certificate_fingerprint) ||
            is_fingerprint(tls->fingerprints[i], facts->key_fingerprint))
            return true;
    }
    return false;
}

/* A good certificate for somebody else. */
static void check_names(const struct tls *tls, X509 *certificate, struct tls_facts *facts)
{
    facts->is_matched = facts->is_trusted && has_name(tls, certificate);
    if (facts->is_matched || !facts->is_trusted)
        return;
    facts->is_trusted = false;
    facts->verify_whose = STR("server ");
    facts->verify_problem = STR("num=62:hostname mismatch");
}

/* The key itself is known, or is not: no authority is asked. */
static void check_fingerprints(const struct tls *tls, struct tls_facts *facts)
{
    facts->is_matched = facts->is_trusted = has_fingerprint(tls, facts);
    facts->verify_whose = STR("");
    facts->verify_problem =
        facts->is_matched ? STR("") : STR("not trusted by local or TLSA policy");
}

static void check_identity(const struct tls *tls, X509 *certificate, struct tls_facts *facts)
{
    switch (tls->check) {
    case TLS_CHECK_NOTHING:
        break;
    case TLS_CHECK_NAMES:
        check_names(tls, certificate, facts);
        break;
    case TLS_CHECK_FINGERPRINTS:
        check_fingerprints(tls, facts);
        break;
    case TLS_CHECK_DANE:
        /* A session that is resumed was one of the same records: the caller sees to that. */
        facts->is_matched = facts->is_trusted =
            facts->is_trusted &&
            (facts->is_resumed || SSL_get0_dane_authority(tls->library, NULL, NULL) >= 0);
        break;
    }
}

void tls_certificate_facts(const struct tls *tls, struct arena *arena, struct tls_facts *facts)
{
    X509 *certificate = SSL_get0_peer_certificate(tls->library);
    long result = SSL_get_verify_result(tls->library);

    if (certificate == NULL)
        return;
    facts->has_certificate = true;
    facts->is_trusted = result == X509_V_OK;
    facts->subject = common_name(arena, X509_get_subject_name(certificate));
    facts->issuer = common_name(arena, X509_get_issuer_name(certificate));
    facts->certificate_fingerprint =
        whole_fingerprint(arena, certificate, tls->context->fingerprint_digest);
    facts->key_fingerprint = key_fingerprint(arena, certificate, tls->context->fingerprint_digest);
    if (!facts->is_trusted)
        explain(tls, tls->verify_depth >= 0 ? tls->verify_error : result, arena, facts);
    check_identity(tls, certificate, facts);
}

/* ---- how it was agreed ---- */

/* "(2048 bits)" or "(prime256v1)" behind the name. */
static void append_strength(EVP_PKEY *key, bool has_curve, struct buf *out)
{
    char curve[64];
    size_t len = 0;

    if (has_curve && EVP_PKEY_get_group_name(key, curve, sizeof curve, &len) == 1)
        buf_printf(out, " (%s)", curve);
    else if (!has_curve)
        buf_printf(out, " (%d bits)", EVP_PKEY_get_bits(key));
}

static void append_exchange(SSL *library, struct buf *out)
{
    EVP_PKEY *key = NULL;

    if (SSL_get_peer_tmp_key(library, &key) != 1 || key == NULL)
        return;
    buf_append_text(out, " key-exchange ");
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_EC:
        buf_append_text(out, "ECDHE");
        append_strength(key, true, out);
        break;
    case EVP_PKEY_DH:
        buf_append_text(out, "DHE");
        append_strength(key, false, out);
        break;
    default:
        buf_append_text(out, OBJ_nid2sn(EVP_PKEY_get_base_id(key)));
    }
    EVP_PKEY_free(key);
}

static void append_signature(const char *whose, EVP_PKEY *key, int digest, struct buf *out)
{
    if (key == NULL)
        return;
    buf_printf(out, " %s-signature ", whose);
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
        buf_append_text(out, "RSA-PSS"); /* TLS 1.3 knows no other */
        append_strength(key, false, out);
        break;
    case EVP_PKEY_EC:
        buf_append_text(out, "ECDSA");
        append_strength(key, true, out);
        break;
    default:
        buf_append_text(out, OBJ_nid2sn(EVP_PKEY_get_base_id(key)));
    }
    if (digest != NID_undef)
        buf_printf(out, " %s-digest %s", whose, OBJ_nid2sn(digest));
}

struct str tls_handshake_details(const struct tls *tls, struct arena *arena)
{
    SSL *library = tls->library;
    autofree_buf struct buf text = { 0 };
    bool is_server = tls->context->is_server;
    const X509 *own = SSL_get_certificate(library);
    const X509 *other = SSL_get0_peer_certificate(library);
    int own_digest = NID_undef, other_digest = NID_undef;

    if (SSL_version(library) < TLS1_3_VERSION)
        return STR("");
    append_exchange(library, &text);
    if (SSL_session_reused(library) != 0)
        return arena_copy(arena, buf_str(&text));
    /* A side that signed nothing has no digest. */
    bool has_own = own != NULL && SSL_get_signature_nid(library, &own_digest) == 1;
    bool has_other = other != NULL && SSL_get_peer_signature_nid(library, &other_digest) == 1;
    EVP_PKEY *own_key = has_own ? X509_get0_pubkey(own) : NULL;
    EVP_PKEY *other_key = has_other ? X509_get0_pubkey(other) : NULL;
    append_signature("server", is_server ? own_key : other_key,
                     is_server ? own_digest : other_digest, &text);
    append_signature("client", is_server ? other_key : own_key,
                     is_server ? other_digest : own_digest, &text);
    return arena_copy(arena, buf_str(&text));
}
