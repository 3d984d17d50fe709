/* news: somebody has to look at the interpreters of this process.
 *
 * A count that rises with each piece of news: an account was condemned, a call ran past its grace time, an owner thread
 * has ended, or somebody wants a waiter to look. What it is, the waiter finds out by looking. Any thread, no GIL; may be
 * told from inside an allocation. */
#ifndef PYH_NEWS_H
#define PYH_NEWS_H

#include "sync.h"

/* Waits until the news count more than `seen`, or the deadline has passed; how many there are now. */
uint64_t pyh_news_wait(uint64_t seen, int64_t deadline_ns);
void pyh_news_tell(void);

#endif
