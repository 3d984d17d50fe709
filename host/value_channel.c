/* value_channel: see value_channel.h. The notifier is made by whoever asks first, without a lock: the loser's is closed
 * again. It is cleared after a value was taken, under the ring's mutex, if that was the last: so it says what is there,
 * whichever way values are taken. */
#include "value_channel.h"

#include <stdlib.h>

/* A channel may hold a channel that holds a channel, for as long as memory lasts. They are freed one after the other:
 * what a thread lets go of while it frees one waits here. */
static _Thread_local pyh_value_channel *freed_next;
static _Thread_local bool is_freeing;

pyh_value_channel *pyh_value_channel_new(size_t capacity)
{
    pyh_value_channel *channel = calloc(1, sizeof *channel);
    if (channel == NULL || pyh_channel_init(&channel->channel, capacity) != PYHOST_OK) {
        free(channel);
        return NULL;
    }
    atomic_init(&channel->references, 1);
    channel->capacity = capacity;
    return channel;
}

pyh_value_channel *pyh_value_channel_ref(pyh_value_channel *channel)
{
    atomic_fetch_add_explicit(&channel->references, 1, memory_order_relaxed);
    return channel;
}

static void notifier_free(pyh_notifier *notifier)
{
    if (notifier != NULL) {
        pyh_notifier_deinit(notifier);
        free(notifier);
    }
}

static void free_one(pyh_value_channel *channel)
{
    void *message;
    while (pyh_channel_receive(&channel->channel, 0, &message) == PYHOST_OK) {
        pyh_message_unref(message);
    }
    pyh_channel_deinit(&channel->channel);
    notifier_free(atomic_load_explicit(&channel->notifier, memory_order_relaxed));
    free(channel);
}

pyh_value_channel *pyh_value_channel_unref(pyh_value_channel *channel)
{
    if (channel == NULL || atomic_fetch_sub_explicit(&channel->references, 1, memory_order_acq_rel) != 1) {
        return NULL;
    }
    channel->next = freed_next;
    freed_next = channel;
    if (!is_freeing) {
        is_freeing = true;
        while (freed_next != NULL) {
            pyh_value_channel *first = freed_next;
            freed_next = first->next;
            free_one(first);
        }
        is_freeing = false;
    }
    return NULL;
}

static bool holds(const pyh_message *message, const pyh_value_channel *channel)
{
    for (uint32_t i = 0; i < message->buffer_count; i++) {
        if (pyh_value_channel_of_buffer(&message->buffers[i]) == channel) {
            return true;
        }
    }
    return false;
}

pyhost_status pyh_value_channel_send(pyh_value_channel *channel, pyh_message *message, int64_t deadline_ns)
{
    if (holds(message, channel)) {
        return PYHOST_MISUSED;
    }
    pyh_message_ref(message); /* before: a receiver may let go of it at once */
    pyhost_status status = pyh_channel_send_wait(&channel->channel, message, deadline_ns);
    if (status != PYHOST_OK) {
        pyh_message_unref(message);
    }
    return status;
}

pyhost_status pyh_value_channel_receive(pyh_value_channel *channel, int64_t deadline_ns, pyh_message **message)
{
    void *item;
    pyhost_status status = pyh_channel_receive(&channel->channel, deadline_ns, &item);
    if (status == PYHOST_OK) {
        *message = item;
        if (atomic_load_explicit(&channel->notifier, memory_order_acquire) != NULL) {
            pyh_channel_calm(&channel->channel);
        }
    }
    return status;
}

void pyh_value_channel_close(pyh_value_channel *channel)
{
    pyh_channel_close(&channel->channel);
}

bool pyh_value_channel_is_closed(pyh_value_channel *channel)
{
    return pyh_channel_is_closed(&channel->channel);
}

size_t pyh_value_channel_depth(pyh_value_channel *channel)
{
    return pyh_channel_depth(&channel->channel);
}

/* Makes the notifier, or finds that another thread has. NULL: the outcome is *status. */
static pyh_notifier *make_notifier(pyh_value_channel *channel, pyhost_status *status)
{
    pyh_notifier *made = malloc(sizeof *made), *before = NULL;
    *status = made != NULL ? pyh_notifier_init(made) : PYHOST_NO_MEMORY;
    if (*status != PYHOST_OK) {
        free(made);
        return NULL;
    }
    if (!atomic_compare_exchange_strong_explicit(&channel->notifier, &before, made, memory_order_acq_rel,
                                                 memory_order_acquire)) {
        notifier_free(made);
        made = before;
    }
    /* Tells of what is there already. */
    pyh_channel_set_notifier(&channel->channel, made);
    return made;
}

pyhost_status pyh_value_channel_fd(pyh_value_channel *channel, int *fd)
{
    pyhost_status status = PYHOST_OK;
    pyh_notifier *notifier = atomic_load_explicit(&channel->notifier, memory_order_acquire);
    if (notifier == NULL) {
        notifier = make_notifier(channel, &status);
    }
    if (notifier != NULL) {
        *fd = notifier->read_fd;
    }
    return status;
}

static void release_channel(void *context, void *data)
{
    (void)data;
    pyh_value_channel_unref(context);
}

pyh_buffer pyh_value_channel_as_buffer(pyh_value_channel *channel)
{
    return (pyh_buffer){.release = release_channel, .context = pyh_value_channel_ref(channel)};
}

pyh_value_channel *pyh_value_channel_of_buffer(const pyh_buffer *buffer)
{
    return buffer->release == release_channel ? buffer->context : NULL;
}
