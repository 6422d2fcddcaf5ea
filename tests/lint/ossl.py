#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each call of OpenSSL says in which library context it works (include/reseal/base/ossl.h).

Deny by default: a function of OpenSSL is in one of the tables below or it may not be called.  NEEDS takes a context and
must get ossl_context(); FREE uses none, or that of an object made before.  What makes an object in the default context
(X509_new, d2i_X509, PEM_read_bio_X509, EVP_sha256 in EVP_DigestInit, RAND_bytes ...) is in none.  Programs call
ossl_program() first, so that libraries between us and OpenSSL read no configuration of the machine either.
"""

import re

import tree

DOORS = {'src/base/ossl.c', 'include/reseal/base/ossl.h', 'include/reseal/crypto/ossl-read.h'}

NEEDS = r'''CMS_encrypt_ex CMS_sign_ex EVP_CIPHER_fetch EVP_DigestSignInit_ex EVP_DigestVerifyInit_ex EVP_KDF_fetch EVP_MD_fetch
EVP_PKEY_CTX_new_from_name EVP_PKEY_CTX_new_from_pkey EVP_PKEY_Q_keygen EVP_Q_digest OSSL_PROVIDER_add_builtin
OSSL_PROVIDER_load OSSL_STORE_open_ex RAND_bytes_ex RAND_priv_bytes_ex X509_REQ_new_ex X509_STORE_CTX_new_ex
X509_new_ex'''.split()

FREE = r'''\w+_free\w* \w+_dup \w+_up_ref \w+_cmp \w+_get0?\w* \w+_set0?_\w+ \w+_get1_\w+ i2d_\w+ ERR_\w+ OBJ_\w+ sk_\w+
OPENSSL_(cleanse|free|strcasecmp) CRYPTO_memcmp
ASN1_(INTEGER|OCTET_STRING|STRING|TIME|GENERALIZEDTIME|BIT_STRING)_\w+ ASN1_get_object ASN1_item_(d2i|i2d|new)
ASN1_ITEM_rptr ASN1_SEQUENCE\w* ASN1_SIMPLE d2i_(ECDSA_SIG|ESS_SIGNING_CERT_V2|TS_STATUS_INFO|TS_TST_INFO|X509_ALGOR)
BIO_(get_mem_data|new|new_mem_buf|reset|s_mem|s_secmem) BN_(bin2bn|bn2binpad|to_ASN1_INTEGER) ECDSA_SIG_(new|set0)
CMS_(SignerInfo_(cert_cmp|set1_signer_cert|sign|verify)|add1_\w+|decrypt|final|verify) CMS_signed_add1_attr_by_NID
EVP_aes_256_gcm EVP_sha(256|384) EVP_(CIPHER|MD|KDF)_CTX_(new|ctrl|copy_ex) EVP_MD_is_a EVP_KDF_derive
EVP_(En|De)crypt(Init_ex2|Update|Final_ex) EVP_Digest(Init_ex2?|Update|Final_ex|Sign|Verify)
EVP_PKEY_(CTX_ctrl_str|derive|derive_init|derive_set_peer|fromdata|fromdata_init|public_check)
OSSL_ESS_check_signing_certs OSSL_PARAM_\w+ OSSL_STORE_(INFO_\w+|eof|expect|load) PEM_read_bio PEM_write_bio\w*
SSL_CTX_\w+ TS_(MSG_IMPRINT|REQ)_new
X509V3_\w+ X509_(ALGOR_(new|set0)|CRL_verify|NAME_\w+|REQ_(add_extensions|sign)|STORE_(new|add_cert)|STORE_CTX_(init|set_\w+))
X509_(EXTENSION_create_by_OBJ|add_ext|check_(ca|private_key|purpose)|gmtime_adj|time_adj_ex|getm_\w+|sign|supported_extension)
X509_(verify_cert|verify_cert_error_string) UI_OpenSSL OSSL_DEFINE_CLEANUP RS_DEFINE_CLEANUP'''.split()

# libssl's context is curl's; nobody here makes one
REFUSED = {'SSL_CTX_new', 'SSL_CTX_new_ex'}

CALL = re.compile(r'\b((?:ASN1|BIO|BN|CMS|CONF|CRYPTO|DH|DSA|EC|ECDH|ECDSA|ECDSA_SIG|ENGINE|ERR|ESS|EVP|HMAC|OBJ|OCSP|OPENSSL|'
                  r'OSSL|PEM|PKCS5|PKCS7|PKCS8|PKCS12|RAND|RSA|SHA1|SHA256|SHA512|SMIME|SSL|TLS|TS|UI|X509|X509V3|d2i|i2d)'
                  r'_[A-Za-z0-9_]+)[ \t]*\(')
COMMENT = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\])*"', re.S)
MAIN = re.compile(r'^int main\(', re.M)
WITHOUT_OPENSSL = {'src/health/main.c', 'src/resealctl/main.c'}
ON_A_HOST = {'src/bundle/main.c', 'src/source-server/main.c'}

free = re.compile('(?:' + '|'.join(FREE) + r')\Z')


def blank(text):
    return COMMENT.sub(lambda m: re.sub(r'[^\n]', ' ', m.group(0)), text)


def arguments(text, start):
    depth = 0
    for at in range(start, len(text)):
        depth += {'(': 1, ')': -1}.get(text[at], 0)
        if depth == 0:
            return text[start:at]
    return text[start:]


def check_calls(path, text):
    for m in CALL.finditer(text):
        name = m.group(1)
        where = f'{path}:{text.count(chr(10), 0, m.start()) + 1}'
        if name in NEEDS:
            if 'ossl_context()' not in arguments(text, m.end() - 1):
                yield f'{where}: {name}() without ossl_context()'
        elif name in REFUSED or not free.match(name):
            yield f'{where}: {name}() works in the default library context, or tests/lint/ossl.py does not know it'


def check_main(path, text):
    if path not in ON_A_HOST and 'program_environment();' not in text:
        yield f'{path}:1: main() does not call program_environment() first'
    if path not in WITHOUT_OPENSSL and 'ossl_program(&err)' not in text:
        yield f'{path}:1: main() does not call ossl_program()'


def main():
    findings = []
    sources = tree.files('.c', '.h', under=('src', 'include'))
    for path in sources:
        text = blank(tree.read(path))
        if path not in DOORS:
            findings += check_calls(path, text)
        if MAIN.search(text):
            findings += check_main(path, text)
    tree.finish(findings, len(sources))


main()
