/* SPDX-License-Identifier: CC0-1.0 */
/*
 * Reseal and U-Boot: for a board's directory, with reseal.config and reseal-env.h.  The environment is what was compiled in;
 * of the stored one what CONFIG_ENV_WRITEABLE_LIST lets through comes on top.  In U-Boot's own order it would be in its place.
 */
#include <env_internal.h>

enum env_location env_get_location(enum env_operation op, int prio)
{
	if (op == ENVOP_SAVE || op == ENVOP_ERASE)
		return prio <= 1 ? ENVL_MMC : ENVL_UNKNOWN;
	return prio == 0 ? ENVL_NOWHERE : prio == 1 ? ENVL_MMC : ENVL_UNKNOWN;
}
