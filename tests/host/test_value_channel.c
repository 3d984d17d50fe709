/* Tests of value_channel: whose references are whose, channels in channels, the descriptor, and many threads. */
#include "value_channel.h"

#include <stdlib.h>

#include "threads.h"

enum { SENDERS = 3, RECEIVERS = 3, VALUES_EACH = 2000, DEEP = 200000, CAPACITY = 4 };

static void count_release(void *context, void *data)
{
    (void)data;
    atomic_fetch_add((atomic_int *)context, 1);
}

/* A message that counts its end. */
static pyh_message *counted(atomic_int *released)
{
    pyh_writer writer = {0};
    pyh_message *message = NULL;
    pyh_writer_share(&writer, (pyh_buffer){.release = count_release, .context = released});
    CHECK_STATUS(pyh_writer_finish(&writer, &message), PYHOST_OK);
    return message;
}

/* A message that holds the channel. */
static pyh_message *holding(pyh_value_channel *channel)
{
    pyh_writer writer = {0};
    pyh_message *message = NULL;
    pyh_writer_share(&writer, pyh_value_channel_as_buffer(channel));
    CHECK_STATUS(pyh_writer_finish(&writer, &message), PYHOST_OK);
    return message;
}

/* Sends the message without waiting, and lets go of it. */
static void give(pyh_value_channel *channel, pyh_message *message, pyhost_status expected)
{
    CHECK_STATUS(pyh_value_channel_send(channel, message, 0), expected);
    pyh_message_unref(message);
}

static void check_none(pyh_value_channel *channel, int64_t deadline_ns, pyhost_status expected)
{
    pyh_message *message = NULL;
    CHECK_STATUS(pyh_value_channel_receive(channel, deadline_ns, &message), expected);
    CHECK(message == NULL);
}

static void values_pass_with_their_references(void)
{
    atomic_int released = 0;
    pyh_message *message = NULL;
    pyh_value_channel *channel = pyh_value_channel_new(2);
    pyh_message *sent = counted(&released);
    CHECK_STATUS(pyh_value_channel_send(channel, sent, 0), PYHOST_OK);
    CHECK_EQUAL(sent->references, 2);
    CHECK_EQUAL(pyh_value_channel_depth(channel), 1);
    CHECK_STATUS(pyh_value_channel_receive(channel, PYH_NEVER, &message), PYHOST_OK);
    CHECK(message == sent);
    pyh_message_unref(message);
    pyh_message_unref(sent);
    CHECK_EQUAL(released, 1);
    check_none(channel, 0, PYHOST_TIMEOUT);
    CHECK(pyh_value_channel_unref(channel) == NULL);
    CHECK(pyh_value_channel_unref(NULL) == NULL);
}

static void what_is_refused_is_not_kept(void)
{
    atomic_int released = 0;
    pyh_value_channel *channel = pyh_value_channel_new(1);
    give(channel, counted(&released), PYHOST_OK);
    give(channel, counted(&released), PYHOST_FULL);
    CHECK_EQUAL(released, 1);
    pyh_value_channel_close(channel);
    CHECK(pyh_value_channel_is_closed(channel));
    give(channel, counted(&released), PYHOST_CLOSED);
    CHECK_EQUAL(released, 2);
    pyh_value_channel_unref(channel);
    CHECK_EQUAL(released, 3);
}

static void channels_do_not_go_into_themselves(void)
{
    pyh_value_channel *channel = pyh_value_channel_new(1);
    give(channel, holding(channel), PYHOST_MISUSED);
    CHECK_EQUAL(channel->references, 1);
    pyh_value_channel_unref(channel);
}

static void channels_in_channels_go_with_them(void)
{
    atomic_int released = 0;
    pyh_value_channel *outer = pyh_value_channel_new(1);
    give(outer, counted(&released), PYHOST_OK);
    /* Deeper than any stack, if each were freed within the other. */
    for (int i = 0; i < DEEP; i++) {
        pyh_value_channel *next = pyh_value_channel_new(1);
        give(next, holding(outer), PYHOST_OK);
        pyh_value_channel_unref(outer);
        outer = next;
    }
    CHECK_EQUAL(released, 0);
    pyh_value_channel_unref(outer);
    CHECK_EQUAL(released, 1);
}

/* Two that are in each other, until one is taken out. */
static void cycles_end_when_one_is_received(void)
{
    atomic_int released = 0;
    pyh_message *message = NULL;
    pyh_value_channel *one = pyh_value_channel_new(2), *other = pyh_value_channel_new(1);
    give(one, holding(other), PYHOST_OK);
    give(one, counted(&released), PYHOST_OK);
    give(other, holding(one), PYHOST_OK);
    pyh_value_channel_unref(other);
    CHECK_STATUS(pyh_value_channel_receive(one, 0, &message), PYHOST_OK);
    CHECK(pyh_value_channel_of_buffer(&message->buffers[0]) == other);
    pyh_value_channel_unref(one);
    CHECK_EQUAL(released, 0);
    pyh_message_unref(message);
    CHECK_EQUAL(released, 1);
}

static void only_its_own_buffers_are_channels(void)
{
    atomic_int released = 0;
    pyh_value_channel *channel = pyh_value_channel_new(1);
    pyh_message *message = holding(channel), *other = counted(&released);
    CHECK(pyh_value_channel_of_buffer(&message->buffers[0]) == channel);
    CHECK(pyh_value_channel_of_buffer(&other->buffers[0]) == NULL);
    CHECK(pyh_value_channel_of_buffer(&(pyh_buffer){.context = channel}) == NULL);
    pyh_message_unref(message);
    pyh_message_unref(other);
    pyh_value_channel_unref(channel);
}

static bool is_readable(pyh_value_channel *channel)
{
    int fd = -1;
    CHECK_STATUS(pyh_value_channel_fd(channel, &fd), PYHOST_OK);
    return pyh_notifier_wait(&(pyh_notifier){.read_fd = fd}, pyh_now_ns() - 1) == PYHOST_OK;
}

static void take(pyh_value_channel *channel)
{
    pyh_message *message = NULL;
    CHECK_STATUS(pyh_value_channel_receive(channel, 0, &message), PYHOST_OK);
    pyh_message_unref(message);
}

static void descriptor_says_what_is_there(void)
{
    atomic_int released = 0;
    pyh_value_channel *channel = pyh_value_channel_new(CAPACITY);
    CHECK(channel->notifier == NULL);
    CHECK(!is_readable(channel));
    give(channel, counted(&released), PYHOST_OK);
    CHECK(is_readable(channel));
    give(channel, counted(&released), PYHOST_OK);
    take(channel);
    CHECK(is_readable(channel));
    take(channel);
    CHECK(!is_readable(channel));
    give(channel, counted(&released), PYHOST_OK);
    CHECK(is_readable(channel));
    pyh_value_channel_close(channel);
    take(channel);
    check_none(channel, 0, PYHOST_CLOSED);
    CHECK(is_readable(channel));
    pyh_value_channel_unref(channel);
}

static void late_descriptors_learn_of_what_is_there(void)
{
    atomic_int released = 0;
    pyh_value_channel *channel = pyh_value_channel_new(1), *closed = pyh_value_channel_new(1);
    give(channel, counted(&released), PYHOST_OK);
    CHECK(is_readable(channel));
    pyh_value_channel_close(closed);
    CHECK(is_readable(closed));
    pyh_value_channel_unref(channel);
    pyh_value_channel_unref(closed);
}

typedef struct {
    pyh_value_channel *channel;
    int fds[SENDERS];
} askers;

static void ask_for_descriptor(size_t index, void *shared)
{
    askers *self = shared;
    CHECK_STATUS(pyh_value_channel_fd(self->channel, &self->fds[index]), PYHOST_OK);
}

static void all_get_the_same_descriptor(void)
{
    for (int round = 0; round < 100; round++) {
        askers shared = {.channel = pyh_value_channel_new(1)};
        threads_run(SENDERS, ask_for_descriptor, &shared);
        for (size_t i = 1; i < SENDERS; i++) {
            CHECK_EQUAL(shared.fds[i], shared.fds[0]);
        }
        pyh_value_channel_unref(shared.channel);
    }
}

/* What many threads send and receive; each has a reference of its own to the channel. */
typedef struct {
    pyh_value_channel *channel;
    bool by_descriptor; /* receivers sleep on that */
    atomic_uint senders_left;
    atomic_int released;
    atomic_int received;
} traffic;

static void send_values(traffic *self)
{
    for (int i = 0; i < VALUES_EACH; i++) {
        pyh_message *message = counted(&self->released);
        CHECK_STATUS(pyh_value_channel_send(self->channel, message, PYH_NEVER), PYHOST_OK);
        pyh_message_unref(message);
    }
    if (atomic_fetch_sub(&self->senders_left, 1) == 1) {
        pyh_value_channel_close(self->channel);
    }
}

static void receive_values(traffic *self)
{
    pyhost_status status = PYHOST_OK;
    while (status != PYHOST_CLOSED) {
        pyh_message *message = NULL;
        if (self->by_descriptor) {
            int fd = -1;
            CHECK_STATUS(pyh_value_channel_fd(self->channel, &fd), PYHOST_OK);
            CHECK_STATUS(pyh_notifier_wait(&(pyh_notifier){.read_fd = fd}, PYH_NEVER), PYHOST_OK);
        }
        status = pyh_value_channel_receive(self->channel, self->by_descriptor ? 0 : PYH_NEVER, &message);
        CHECK(status == PYHOST_OK || status == PYHOST_CLOSED || (status == PYHOST_TIMEOUT && self->by_descriptor));
        atomic_fetch_add(&self->received, status == PYHOST_OK);
        pyh_message_unref(message);
    }
}

static void send_or_receive(size_t index, void *shared)
{
    traffic *self = shared;
    if (index < SENDERS) {
        send_values(self);
    } else {
        receive_values(self);
    }
    pyh_value_channel_unref(self->channel);
}

static void check_traffic(bool by_descriptor)
{
    traffic shared = {.channel = pyh_value_channel_new(CAPACITY), .by_descriptor = by_descriptor};
    atomic_init(&shared.senders_left, SENDERS);
    for (size_t i = 1; i < SENDERS + RECEIVERS; i++) {
        pyh_value_channel_ref(shared.channel);
    }
    threads_run(SENDERS + RECEIVERS, send_or_receive, &shared);
    CHECK_EQUAL(shared.received, SENDERS * VALUES_EACH);
    CHECK_EQUAL(shared.released, SENDERS * VALUES_EACH);
}

static void every_value_arrives_exactly_once(void)
{
    check_traffic(false);
}

static void no_value_is_missed_by_who_waits_for_the_descriptor(void)
{
    check_traffic(true);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(values_pass_with_their_references),
        CHECK_TEST(what_is_refused_is_not_kept),
        CHECK_TEST(channels_do_not_go_into_themselves),
        CHECK_TEST(channels_in_channels_go_with_them),
        CHECK_TEST(cycles_end_when_one_is_received),
        CHECK_TEST(only_its_own_buffers_are_channels),
        CHECK_TEST(descriptor_says_what_is_there),
        CHECK_TEST(late_descriptors_learn_of_what_is_there),
        CHECK_TEST(all_get_the_same_descriptor),
        CHECK_TEST(every_value_arrives_exactly_once),
        CHECK_TEST(no_value_is_missed_by_who_waits_for_the_descriptor),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
