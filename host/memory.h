/* memory: the hooks in CPython's allocators that charge accounts.
 *
 * Two places see everything. The raw domain's allocator sees each block over 512 bytes, as CPython's object allocator
 * hands those on; the arena allocator sees the arenas in which it keeps the small ones. What libraries in C take from
 * malloc themselves is in no account. */
#ifndef PYH_MEMORY_H
#define PYH_MEMORY_H

#include "account.h"

/* Installs the hooks, once; again changes nothing. Before CPython starts, or at any time after with the GIL held:
 * blocks from before need no mark. Does nothing where another allocator than CPython's own is in place (debug hooks, -X
 * dev, memory profilers), and when the environment variable PYHOST_MEMORY_ACCOUNTS is 0. */
void pyh_memory_install(void);

/* Whether accounts are charged. */
bool pyh_memory_is_counted(void);

/* Gives pages that malloc has no use for back to the system: after an interpreter has started or ended. Calls from
 * several threads at once become one. */
void pyh_memory_trim(void);

/* The interpreter of the account has ended: gives back everything that CPython has left of its arenas. With
 * PYHOST_RECLAIM=protect in the environment they become inaccessible instead, for tests. No GIL. */
void pyh_memory_reclaim(pyh_account *account);

#endif
