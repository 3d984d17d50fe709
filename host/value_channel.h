/* value_channel: a channel of values between a program, plugins and the host's Python; what pyhost_channel is.
 *
 * A pyh_channel that owns what is in it: references to messages, which are released with it. It belongs to no
 * interpreter. Reference counted; any thread, a GIL held or not where a function does not wait.
 * Inside a message a channel is a buffer that holds a reference to it. Such a buffer is known by its release function,
 * which is nobody else's, so that no bytes and no other buffer can be taken for a channel. */
#ifndef PYH_VALUE_CHANNEL_H
#define PYH_VALUE_CHANNEL_H

#include "channel.h"
#include "message.h"

typedef struct pyh_value_channel {
    _Atomic uint32_t references; /* relaxed to take, release/acquire to drop */
    pyh_channel channel;
    size_t capacity;                  /* fixed after new */
    _Atomic(pyh_notifier *) notifier; /* owned; NULL until its descriptor is asked for; acquire/release */
    /* the thread that frees it */
    struct pyh_value_channel *next; /* freed after it */
} pyh_value_channel;

/* An empty channel for so many values, 1 to PYHOST_CHANNEL_MOST. NULL: no memory. */
pyh_value_channel *pyh_value_channel_new(size_t capacity);
pyh_value_channel *pyh_value_channel_ref(pyh_value_channel *channel);
/* Drops one reference; NULL is accepted. Returns NULL. */
pyh_value_channel *pyh_value_channel_unref(pyh_value_channel *channel);

/* Puts in a reference of its own to the message, waiting for room until the deadline (0: does not wait). FULL, CLOSED;
 * MISUSED for a message that holds the channel itself. */
pyhost_status pyh_value_channel_send(pyh_value_channel *channel, pyh_message *message, int64_t deadline_ns);

/* Takes out the oldest message with its reference. TIMEOUT when there is none by the deadline (0: does not wait),
 * CLOSED when there will be none. */
pyhost_status pyh_value_channel_receive(pyh_value_channel *channel, int64_t deadline_ns, pyh_message **message);

void pyh_value_channel_close(pyh_value_channel *channel);
bool pyh_value_channel_is_closed(pyh_value_channel *channel);
/* How many values wait. */
size_t pyh_value_channel_depth(pyh_value_channel *channel);

/* A descriptor, the channel's own, that is readable while there is something to receive or it is closed; for an instant
 * after the last value was taken, too. SYSTEM: there is none to be had; NO_MEMORY. */
pyhost_status pyh_value_channel_fd(pyh_value_channel *channel, int *fd);

/* The channel as a buffer beside a message, with a new reference. */
pyh_buffer pyh_value_channel_as_buffer(pyh_value_channel *channel);
/* The channel that such a buffer is, borrowed; NULL for any other buffer. */
pyh_value_channel *pyh_value_channel_of_buffer(const pyh_buffer *buffer);

#endif
