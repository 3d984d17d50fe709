/* region: mapped pages of an account, known by their address: arenas, the nodes of CPython's arena map, and the large
 * tables of an interpreter.
 *
 * What an interpreter leaves behind when it has ended is given back from here. CPython 3.13 leaves every arena of an
 * interpreter that leaks one block, and it always leaks one; later versions only when some module leaks. Any thread,
 * GIL held or not. */
#ifndef PYH_REGION_H
#define PYH_REGION_H

#include <stddef.h>

#include "account.h"

/* Zeroed pages, charged to the payer. NULL: no memory. */
void *pyh_region_map(pyh_payer payer, size_t bytes);

/* Gives the region at the address back and discharges whom it was charged to; how large it was, 0 if there is none. */
size_t pyh_region_unmap(void *address);

/* How large the region at the address is; 0 if there is none. */
size_t pyh_region_bytes(void *address);

/* How many bytes of the account's regions are in memory; *all_bytes is their full size. */
int64_t pyh_region_measure(pyh_account *account, int64_t *all_bytes);

/* Gives back what is left of a closed account's regions and discharges it. With `protect` they become inaccessible
 * instead, so that whatever still reaches into them dies there. */
void pyh_region_reclaim(pyh_account *account, bool protect);

#endif
