/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * names - every name the outside world sees, once.
 *
 * Spec:     docs/architecture.md; conf/org.reseal1.xml; systemd/
 * Trust:    none
 * Owns:     nothing
 * Units:    none
 * Errors:   none
 * Context:  constants only
 * Programs: all
 */

#define RS_BUS_NAME "org.reseal1"
#define RS_BUS_PATH "/org/reseal1"
#define RS_BUS_PATH_JOB_PREFIX "/org/reseal1/job/"
#define RS_BUS_IFACE_MANAGER "org.reseal1.Manager"
#define RS_BUS_IFACE_JOB "org.reseal1.Job"
#define RS_BUS_ERROR_PREFIX "org.reseal1.Error."

#define RS_USER_DAEMON "reseal"
#define RS_USER_WRITER "reseal-writer"
#define RS_USER_HEALTH "reseal-health"
#define RS_USER_CERTSTORE "reseal-certstore"
#define RS_GROUP_BOOT "reseal-boot"

#define RS_PATH_CONF_DAEMON "/etc/reseal/reseal.conf"
#define RS_PATH_CONF_WRITER "/etc/reseal/writer.conf"
#define RS_PATH_CONF_CRYPTO "/etc/reseal/crypto.conf"
#define RS_PATH_CONF_HEALTH "/etc/reseal/health.conf"
#define RS_PATH_STATE_DAEMON "/var/lib/reseal"
#define RS_PATH_STATE_WRITER "/var/lib/reseal-writer"
#define RS_PATH_STATE_TRUST "/var/lib/reseal-trust"
#define RS_PATH_KEYS "/var/lib/reseal/keys"
#define RS_PATH_WRITER_SOCKET "/run/reseal/writer.sock"
#define RS_PATH_HEALTH_SOCKET "/run/reseal/health.sock"
#define RS_PATH_CERTSTORE_SOCKET "/run/reseal/certstore.sock"
#define RS_PATH_BOOTED "/run/reseal/booted"
#define RS_PATH_REFUSED "/run/reseal/refused"
#define RS_PATH_EFIVARS "/sys/firmware/efi/efivars"
#define RS_PATH_TPM_LOCK "/run/reseal/tpm.lock"

/* In efivarfs: what the writer may write there. */
#define RS_EFI_GLOBAL_GUID "8be4df61-93ca-11d2-aa0d-00e098032b8c"
#define RS_EFI_BOOT_ORDER "BootOrder-" RS_EFI_GLOBAL_GUID
#define RS_EFI_BOOT_NEXT "BootNext-" RS_EFI_GLOBAL_GUID
/* What the initramfs reads and writes there: systemd-boot's, and what it refused, for the next that opens its slot. */
#define RS_EFI_LOADER_GUID "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
#define RS_EFI_LOADER_ENTRIES "LoaderEntries-" RS_EFI_LOADER_GUID
#define RS_EFI_LOADER_SELECTED "LoaderEntrySelected-" RS_EFI_LOADER_GUID
#define RS_EFI_LOADER_ONE_SHOT "LoaderEntryOneShot-" RS_EFI_LOADER_GUID
#define RS_EFI_REFUSED "ResealRefused-b7f91031-68e1-4e87-8ae9-eb38c8885212"

/* Files of RS_PATH_KEYS, made by reseal-provision; TPM blobs, useless without the TPM. */
#define RS_FILE_IDENTITY_KEY "identity.tpm"
#define RS_FILE_IDENTITY_CERT "identity.pem"
#define RS_FILE_UNWRAP_KEY "unwrap.tpm"
#define RS_FILE_UNWRAP_CERT "unwrap.pem"
#define RS_FILE_ATTEST_KEY "attest.tpm"
#define RS_FILE_ATTEST_CERT "attest.pem"
/* In RS_PATH_STATE_WRITER: the auth value of the TPM gate index, readable by reseal-writer only. */
#define RS_FILE_GATE_AUTH "gate.auth"
#define RS_FILE_SRK_NAME "srk.name"
#define RS_FILE_TPM_SEEN "tpm.seen"

/* In RS_PATH_STATE_TRUST: the trust set, readable by everybody. */
#define RS_FILE_TRUST_SET "trust.set"

/*
 * Object identifiers: the project's own arc 2.25.<UUID as decimal>, the UUID being
 * 66160ddc-130c-40e8-a31f-1468e59dc611, drawn once for Reseal.
 * A.1.1 place of a signer in the chain (docs/format-chain.md), A.2.x extended key usages, A.3.x content types.
 */
#define RS_OID_ARC "2.25.135695767208364814673180369568772507153"
#define RS_OID_FIRMWARE RS_OID_ARC ".1.1"
#define RS_OID_EKU_IMAGE_SIGNING RS_OID_ARC ".2.1"
#define RS_OID_EKU_DEVICE_DOWNLOAD RS_OID_ARC ".2.2"
#define RS_OID_EKU_SOURCE RS_OID_ARC ".2.3"
#define RS_OID_EKU_FRESHNESS RS_OID_ARC ".2.4"
#define RS_OID_EKU_TICKET RS_OID_ARC ".2.8"
#define RS_OID_EKU_UNWRAP RS_OID_ARC ".2.7"
#define RS_OID_EKU_ATTEST RS_OID_ARC ".2.9"
