/* channel: see channel.h. One ring under one mutex. Who sleeps is counted, so that a send to a busy receiver makes no
 * system call, nor does receiving what no sender waits for. */
#include "channel.h"

#include <stdlib.h>

pyhost_status pyh_channel_init(pyh_channel *channel, size_t capacity)
{
    channel->ring = calloc(capacity, sizeof *channel->ring);
    if (channel->ring == NULL) {
        return PYHOST_NO_MEMORY;
    }
    channel->capacity = capacity;
    pyh_mutex_init(&channel->mutex, PYH_RANK_CHANNEL);
    pyh_condition_init(&channel->readable);
    pyh_condition_init(&channel->writable);
    return PYHOST_OK;
}

void pyh_channel_deinit(pyh_channel *channel)
{
    if (channel->ring != NULL) {
        pyh_condition_deinit(&channel->writable);
        pyh_condition_deinit(&channel->readable);
        pyh_mutex_deinit(&channel->mutex);
        free(channel->ring);
        channel->ring = NULL;
    }
}

pyhost_status pyh_channel_resize(pyh_channel *channel, size_t capacity)
{
    void **ring = calloc(capacity, sizeof *ring);
    if (ring == NULL) {
        return PYHOST_NO_MEMORY;
    }
    pyh_mutex_lock(&channel->mutex);
    void **replaced = channel->ring;
    channel->ring = ring;
    channel->capacity = capacity;
    channel->first = 0;
    pyh_mutex_unlock(&channel->mutex);
    free(replaced);
    return PYHOST_OK;
}

/* Puts in items that fit; how many receivers are to be woken for them. The mutex is held. */
static size_t put(pyh_channel *channel, void *const *items, size_t count)
{
    size_t last = channel->first + channel->count;
    for (size_t i = 0; i < count; i++) {
        size_t slot = last + i;
        channel->ring[slot < channel->capacity ? slot : slot - channel->capacity] = items[i];
    }
    pyh_notifier *notifier = channel->count == 0 && count > 0 ? channel->notifier : NULL;
    channel->count += count;
    if (notifier != NULL) {
        pyh_notifier_notify(notifier);
    }
    return channel->waiting < count ? channel->waiting : count;
}

pyhost_status pyh_channel_send(pyh_channel *channel, void *const *items, size_t count, size_t *sent)
{
    pyhost_status status = PYHOST_OK;
    pyh_mutex_lock(&channel->mutex);
    size_t room = channel->closed ? 0 : channel->capacity - channel->count;
    if (count > room) {
        status = channel->closed ? PYHOST_CLOSED : PYHOST_FULL;
        count = room;
    }
    size_t wake = put(channel, items, count);
    pyh_mutex_unlock(&channel->mutex);
    for (size_t i = 0; i < wake; i++) {
        pyh_condition_signal(&channel->readable);
    }
    *sent = count;
    return status;
}

pyhost_status pyh_channel_send_wait(pyh_channel *channel, void *item, int64_t deadline_ns)
{
    pyhost_status status = PYHOST_OK;
    size_t wake = 0;
    pyh_mutex_lock(&channel->mutex);
    while (channel->count == channel->capacity && !channel->closed && status == PYHOST_OK) {
        if (deadline_ns == 0) {
            status = PYHOST_TIMEOUT;
        } else {
            channel->blocked++;
            status = pyh_condition_wait(&channel->writable, &channel->mutex, deadline_ns);
            channel->blocked--;
        }
    }
    if (channel->closed) {
        status = PYHOST_CLOSED;
    } else if (channel->count == channel->capacity) {
        status = PYHOST_FULL;
    } else {
        wake = put(channel, &item, 1);
        status = PYHOST_OK;
    }
    pyh_mutex_unlock(&channel->mutex);
    if (wake > 0) {
        pyh_condition_signal(&channel->readable);
    }
    return status;
}

pyhost_status pyh_channel_receive(pyh_channel *channel, int64_t deadline_ns, void **item)
{
    pyhost_status status = PYHOST_OK;
    bool wakes = false;
    pyh_mutex_lock(&channel->mutex);
    while (channel->count == 0 && !channel->closed && status == PYHOST_OK) {
        if (deadline_ns == 0) {
            status = PYHOST_TIMEOUT;
        } else {
            channel->waiting++;
            status = pyh_condition_wait(&channel->readable, &channel->mutex, deadline_ns);
            channel->waiting--;
        }
    }
    if (channel->count > 0) {
        *item = channel->ring[channel->first];
        channel->first = channel->first + 1 < channel->capacity ? channel->first + 1 : 0;
        channel->count--;
        wakes = channel->blocked > 0;
        status = PYHOST_OK;
    } else if (channel->closed) {
        status = PYHOST_CLOSED;
    }
    pyh_mutex_unlock(&channel->mutex);
    if (wakes) {
        pyh_condition_signal(&channel->writable);
    }
    return status;
}

void pyh_channel_close(pyh_channel *channel)
{
    pyh_mutex_lock(&channel->mutex);
    channel->closed = true;
    if (channel->notifier != NULL) {
        pyh_notifier_notify(channel->notifier);
    }
    pyh_condition_broadcast(&channel->readable);
    pyh_condition_broadcast(&channel->writable);
    pyh_mutex_unlock(&channel->mutex);
}

bool pyh_channel_is_closed(pyh_channel *channel)
{
    pyh_mutex_lock(&channel->mutex);
    bool closed = channel->closed;
    pyh_mutex_unlock(&channel->mutex);
    return closed;
}

void pyh_channel_set_notifier(pyh_channel *channel, pyh_notifier *notifier)
{
    pyh_mutex_lock(&channel->mutex);
    channel->notifier = notifier;
    if (notifier != NULL && (channel->count > 0 || channel->closed)) {
        pyh_notifier_notify(notifier);
    }
    pyh_mutex_unlock(&channel->mutex);
}

void pyh_channel_calm(pyh_channel *channel)
{
    pyh_mutex_lock(&channel->mutex);
    if (channel->notifier != NULL && channel->count == 0 && !channel->closed) {
        pyh_notifier_clear(channel->notifier);
    }
    pyh_mutex_unlock(&channel->mutex);
}

void pyh_channel_notify(pyh_channel *channel)
{
    pyh_mutex_lock(&channel->mutex);
    if (channel->notifier != NULL) {
        pyh_notifier_notify(channel->notifier);
    }
    pyh_mutex_unlock(&channel->mutex);
}

size_t pyh_channel_depth(pyh_channel *channel)
{
    pyh_mutex_lock(&channel->mutex);
    size_t depth = channel->count;
    pyh_mutex_unlock(&channel->mutex);
    return depth;
}
