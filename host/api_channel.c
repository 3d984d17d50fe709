/* api_channel: channels for callers who know no Python; value_channel.c under public names. A wait within a function of
 * the program that a plugin has called ends with that plugin's call at the latest, as calls do. */
#include "activation.h"
#include "api.h"

/* When a wait of so long ends; 0: it does not wait. */
static int64_t deadline_of(int64_t timeout_ns)
{
    return timeout_ns > 0 ? pyh_deadline_within(pyh_deadline_after(timeout_ns)) : 0;
}

pyhost_status pyhost_channel_new(size_t capacity, pyhost_channel **channel)
{
    if (capacity == 0 || capacity > PYHOST_CHANNEL_MOST) {
        return PYHOST_MISUSED;
    }
    pyh_value_channel *made = pyh_value_channel_new(capacity);
    if (made == NULL) {
        return PYHOST_NO_MEMORY;
    }
    *channel = pyh_channel_to_public(made);
    return PYHOST_OK;
}

pyhost_channel *pyhost_channel_ref(pyhost_channel *channel)
{
    pyh_value_channel_ref(pyh_channel_of(channel));
    return channel;
}

void pyhost_channel_unref(pyhost_channel *channel)
{
    pyh_value_channel_unref(pyh_channel_of(channel));
}

pyhost_status pyhost_channel_send(pyhost_channel *channel, const pyhost_value *value, int64_t timeout_ns)
{
    if (timeout_ns < 0) {
        return PYHOST_MISUSED;
    }
    return pyh_value_channel_send(pyh_channel_of(channel), pyh_message_of(value), deadline_of(timeout_ns));
}

pyhost_status pyhost_channel_receive(pyhost_channel *channel, int64_t timeout_ns, pyhost_value **value)
{
    pyh_message *message = NULL;
    if (timeout_ns < 0) {
        return PYHOST_MISUSED;
    }
    pyhost_status status = pyh_value_channel_receive(pyh_channel_of(channel), deadline_of(timeout_ns), &message);
    if (status == PYHOST_OK) {
        *value = pyh_value_of(message);
    }
    return status;
}

void pyhost_channel_close(pyhost_channel *channel)
{
    pyh_value_channel_close(pyh_channel_of(channel));
}

bool pyhost_channel_is_closed(const pyhost_channel *channel)
{
    return pyh_value_channel_is_closed(pyh_channel_of(channel));
}

size_t pyhost_channel_depth(const pyhost_channel *channel)
{
    return pyh_value_channel_depth(pyh_channel_of(channel));
}

pyhost_status pyhost_channel_fd(pyhost_channel *channel, int *fd)
{
    return pyh_value_channel_fd(pyh_channel_of(channel), fd);
}
