/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Made by make-chain-seeds.sh together with seeds/crl and seeds/timestamp: throw-away keys that guard nothing. */
static const char chain_root_pem[] __attribute__((unused)) =
        "-----BEGIN CERTIFICATE-----\n"
        "MIIBsTCCATegAwIBAgIUX4MDyIGVp1IiK8d/LNpQdlaFYi4wCgYIKoZIzj0EAwMw\n"
        "GDEWMBQGA1UEAwwNRmlybXdhcmUgUm9vdDAeFw0yNjExMjIyMzA2NDNaFw0zNjEx\n"
        "MTkyMzA2NDNaMBgxFjAUBgNVBAMMDUZpcm13YXJlIFJvb3QwdjAQBgcqhkjOPQIB\n"
        "BgUrgQQAIgNiAAQO2tWd39ZH8vUvijrCxSX4PJFbGeFvL16+Q9MsiIIRnmZXyHHx\n"
        "Cq86VHXrawOVPiZzxQglpZ8tcJlLUSfgCd06Fa1LhlNjo5AJK4ksvVcSqd9Vet1i\n"
        "hbeXKaEjVfEKlTijQjBAMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEG\n"
        "MB0GA1UdDgQWBBTqfR20qD39wjrAMVCfcXFIU+ebazAKBggqhkjOPQQDAwNoADBl\n"
        "AjEAx6G0IQvKEgOo6mcZ+hVxof7sSBOeADasyRApWQJncsF5OZBSAsjvuqryus9n\n"
        "VRLKAjBTxRuXbg1xActgCNZ2hHHYmzDCFW1OfyLHecJV2g8Ih4Nc/LBxYaRKLjUe\n"
        "husUxrk=\n"
        "-----END CERTIFICATE-----\n";
static const char chain_authority_pem[] __attribute__((unused)) =
        "-----BEGIN CERTIFICATE-----\n"
        "MIIBujCCAUCgAwIBAgIURlmU7G6aatn1H8ZcWq3VCdQQ9jowCgYIKoZIzj0EAwIw\n"
        "GDEWMBQGA1UEAwwNRmlybXdhcmUgUm9vdDAeFw0yNjExMjIyMzA2NDNaFw0zNjEx\n"
        "MTkyMzA2NDNaMB0xGzAZBgNVBAMMEkZpcm13YXJlIEF1dGhvcml0eTBZMBMGByqG\n"
        "SM49AgEGCCqGSM49AwEHA0IABJ779KIxPkdDc/49427gaFlsi+lzHmT1aVzEuUfx\n"
        "PGdrrEgK/l4JaHqenrUyE8YzfEZfZY4CZ2U9RCiZVgoicMqjYzBhMA8GA1UdEwEB\n"
        "/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQWBBQZ64MbG/CCdr67TsJD\n"
        "JXnD+enaSjAfBgNVHSMEGDAWgBTqfR20qD39wjrAMVCfcXFIU+ebazAKBggqhkjO\n"
        "PQQDAgNoADBlAjEArA73Hpi8+p4EB4SB+yG2B154P9ieSconSv/7zrGa4oW9X3OA\n"
        "2PcE1CSZ+xOkDaU+AjA/NDU8NagLY4Jo1B+fl5CNUMydIswVqITGKuiCQTfvi7bU\n"
        "m+Pk/M/ac5pnAJDt3gE=\n"
        "-----END CERTIFICATE-----\n";
static const char time_root_pem[] __attribute__((unused)) =
        "-----BEGIN CERTIFICATE-----\n"
        "MIIBqTCCAS+gAwIBAgIUVnpgbSmgK60sb+d/N7zekzEL/OgwCgYIKoZIzj0EAwMw\n"
        "FDESMBAGA1UEAwwJVGltZSBSb290MB4XDTI2MTEyMjIzMDY0OFoXDTM2MTExOTIz\n"
        "MDY0OFowFDESMBAGA1UEAwwJVGltZSBSb290MHYwEAYHKoZIzj0CAQYFK4EEACID\n"
        "YgAEk0Z3IDmHMv+KgwHqf9k2vURknUklmQoCoEjB5HE++7dNbTDDSAq5sIcJ7T6g\n"
        "YVPlv0CoAp1BL8t5DoC0NJChPQn5dYLEHAHdHAMiVe2Ebeg+JZ9M1AFln8UcuUqB\n"
        "TWw0o0IwQDAPBgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQEAwIBBjAdBgNVHQ4E\n"
        "FgQUgsdYxKHQT7clOGRJmv4xXiJb3UcwCgYIKoZIzj0EAwMDaAAwZQIxAMb6DU5o\n"
        "tG/BxIvVO4ezA6KAmVwml2aQAinYP3IMe3cBAHUm1trrryZ+p3omLORJYgIwBw89\n"
        "jVSj+KCNgrqn/jL9XTOzuSOL5aILVmPkFA4LzSZI2PtjmQwji6CS65bwl4sB\n"
        "-----END CERTIFICATE-----\n";
