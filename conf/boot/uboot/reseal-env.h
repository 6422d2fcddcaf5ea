/* SPDX-License-Identifier: CC0-1.0 */
/*
 * Reseal and U-Boot: included by include/configs/BOARD.h.  What is taken from the stored environment: nothing but the boot
 * state; s a string, d a decimal number, w may be written.  U-Boot from 2023.04 on calls it CFG_ENV_FLAGS_LIST_STATIC.
 */
#define CONFIG_ENV_FLAGS_LIST_STATIC "BOOT_ORDER:sw,BOOT_A_LEFT:dw,BOOT_A_GOOD:dw,BOOT_B_LEFT:dw,BOOT_B_GOOD:dw"
