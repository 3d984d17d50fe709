/* channel: a bounded first-in first-out queue of pointers between threads.
 *
 * Many senders, many receivers; any thread. A full channel refuses at once, or lets a sender wait that asks for it:
 * backpressure is an answer. Closing wakes everybody; what was accepted can still be received. It does not own what
 * passes through. No function here may be called with a GIL held if it can wait. */
#ifndef PYH_CHANNEL_H
#define PYH_CHANNEL_H

#include <stddef.h>

#include "sync.h"

typedef struct pyh_channel {
    /* fixed after init */
    pyh_mutex mutex;
    pyh_condition readable;
    pyh_condition writable;
    /* guarded by mutex */
    size_t capacity;
    void **ring;
    size_t first;
    size_t count;
    size_t waiting; /* receivers asleep */
    size_t blocked; /* senders asleep */
    bool closed;
    pyh_notifier *notifier; /* borrowed; notified when the channel stops being empty, or closes */
} pyh_channel;

/* Zeroed memory becomes an open, empty channel of that capacity, at least 1. OK or NO_MEMORY. */
pyhost_status pyh_channel_init(pyh_channel *channel, size_t capacity);
void pyh_channel_deinit(pyh_channel *channel);

/* Gives an empty channel another capacity, at least 1. OK or NO_MEMORY, and it is as it was. */
pyhost_status pyh_channel_resize(pyh_channel *channel, size_t capacity);

/* Takes all of the items or, from the end, as many less as do not fit; *sent is how many it took. OK if all were
 * taken, else FULL or CLOSED. Never waits. */
pyhost_status pyh_channel_send(pyh_channel *channel, void *const *items, size_t count, size_t *sent);

/* Takes one item, and waits for room until the deadline (0: does not wait). OK, FULL or CLOSED. Those that wait have no
 * order among them. */
pyhost_status pyh_channel_send_wait(pyh_channel *channel, void *item, int64_t deadline_ns);

/* The oldest item. TIMEOUT when there is none by the deadline (0: do not wait), CLOSED when there will be none. */
pyhost_status pyh_channel_receive(pyh_channel *channel, int64_t deadline_ns, void **item);

/* Nothing more is accepted; wakes all receivers and senders. Calling it again changes nothing. */
void pyh_channel_close(pyh_channel *channel);
bool pyh_channel_is_closed(pyh_channel *channel);

/* From now on the notifier tells when there is something to receive; NULL for no notifier. */
void pyh_channel_set_notifier(pyh_channel *channel, pyh_notifier *notifier);

/* Clears the notifier, if there is one and nothing to tell: no item, and not closed. */
void pyh_channel_calm(pyh_channel *channel);

/* Notifies the notifier, if there is one, without an item. */
void pyh_channel_notify(pyh_channel *channel);

/* How many items wait. */
size_t pyh_channel_depth(pyh_channel *channel);

#endif
