/* ending: the end of an interpreter. Its plugin's last functions and its threads have the stop limit; what runs on is
 * interrupted; destructors run while they can be cut short; and only an interpreter with no other thread in it ends. */
#ifndef PYH_ENDING_H
#define PYH_ENDING_H

#include "interp.h"

/* Ends the interpreter. One whose threads do not end is set aside and told to be ended, and the owner thread stays with
 * it: it ends when they do, if ever. The owner thread, GIL held; there is none afterwards. */
void pyh_ending_run(pyh_interp *interp);

#endif
