/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Made by make-cms-seeds.sh together with seeds/cms/: throw-away keys that guard nothing. */
static const char firmware_root_pem[] =
        "-----BEGIN CERTIFICATE-----\n"
        "MIIBsTCCATegAwIBAgIUXtNttdUDdDybDhbl4+QuyyZqrzswCgYIKoZIzj0EAwMw\n"
        "GDEWMBQGA1UEAwwNRmlybXdhcmUgUm9vdDAeFw0yNjExMjIxOTQxNTlaFw0zNjEx\n"
        "MTkxOTQxNTlaMBgxFjAUBgNVBAMMDUZpcm13YXJlIFJvb3QwdjAQBgcqhkjOPQIB\n"
        "BgUrgQQAIgNiAAT7s/aqgGSVhq6cSIiRus1CIgYVPIjPqXl6oR6HJbml/SYz4ta4\n"
        "joVV76R06xOhVkQk4VPQeoYFXk/bUb7+zqTf1+DaQiwS5g8QzNwjnOdEN7fj6ODF\n"
        "5zEFUcMf84/XkESjQjBAMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEG\n"
        "MB0GA1UdDgQWBBRKVjeWv1nHfGDXcv0wCBboMQ3AQjAKBggqhkjOPQQDAwNoADBl\n"
        "AjBoTxEbcfXUrARw7f9SCgFLcfCCA4i15sBPbNhTfHwmku9ytxWM02hD+ZR7RW5/\n"
        "Nm0CMQCLlbtpbu/ytW/gGC+89ZszdkvrufBM7H0NKLZ3gaZYFNyxxJlEiS0RnG2O\n"
        "bIVI9lw=\n"
        "-----END CERTIFICATE-----\n";
static const char transport_cert_pem[] =
        "-----BEGIN CERTIFICATE-----\n"
        "MIIBrzCCATSgAwIBAgIUT8ocHZsy7CxEbTOlImRJgR3IhCowCgYIKoZIzj0EAwIw\n"
        "FjEUMBIGA1UEAwwLU291cmNlIFJvb3QwHhcNMjYxMTIyMTk0MjAwWhcNMzYxMTE5\n"
        "MTk0MjAwWjAWMRQwEgYDVQQDDAtUcmFuc3BvcnQgMTBZMBMGByqGSM49AgEGCCqG\n"
        "SM49AwEHA0IABCMCeiTcRF+SLycGRa46YGeaaWyRlfnw5YoaEZdTKPkkJkBMFOJT\n"
        "kXZD05192NHp7dUDQ+Huaid1Dx19RBNxRaSjYDBeMAwGA1UdEwEB/wQCMAAwDgYD\n"
        "VR0PAQH/BAQDAgMIMB0GA1UdDgQWBBRqFBL1bAJUWAXt7geyNa7geCOJnDAfBgNV\n"
        "HSMEGDAWgBT9KyCpyVmIQORQxSI2V2jbNJ7muDAKBggqhkjOPQQDAgNpADBmAjEA\n"
        "k5n0LrM+SyDuwU97ffGzHLFgLtJ7s5HA5bsNqh2jPYO2VBTivt8b58JiAXiiYk5R\n"
        "AjEA/xezVtMIue7/bvG4HJYkeVUQMWe5tNiRp6tddvmB7z3xOs6UjehRRmGRb+Uj\n"
        "4djb\n"
        "-----END CERTIFICATE-----\n";
static const char transport_key_pem[] =
        "-----BEGIN PRIVATE KEY-----\n"
        "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgzNtcqJFn7EAJN3kC\n"
        "ceV+Zq1L0jy4Wy7zM7uVy/8HQDKhRANCAAQjAnok3ERfki8nBkWuOmBnmmlskZX5\n"
        "8OWKGhGXUyj5JCZATBTiU5F2Q9OdfdjR6e3VA0Ph7mondQ8dfUQTcUWk\n"
        "-----END PRIVATE KEY-----\n";
