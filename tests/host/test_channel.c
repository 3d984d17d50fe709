/* Tests of channel: order, backpressure, closing, the notifier, and that many threads lose and double nothing. */
#include "channel.h"

#include <stdlib.h>

#include "threads.h"

enum { SENDERS = 4, RECEIVERS = 3, ITEMS_EACH = 5000, BATCH_MOST = 7 };

/* An item of the sender: nothing is at that address. */
static void *item_of(size_t sender, size_t number)
{
    return (void *)(uintptr_t)(1 + sender * ITEMS_EACH + number);
}

static pyhost_status send_one(pyh_channel *channel, void *item)
{
    size_t sent = SIZE_MAX;
    pyhost_status status = pyh_channel_send(channel, &item, 1, &sent);
    CHECK_EQUAL(sent, status == PYHOST_OK ? 1 : 0);
    return status;
}

static void check_next(pyh_channel *channel, void *expected)
{
    void *item = NULL;
    CHECK_STATUS(pyh_channel_receive(channel, 0, &item), PYHOST_OK);
    CHECK(item == expected);
}

static void check_none(pyh_channel *channel, int64_t deadline_ns, pyhost_status expected)
{
    void *item = channel;
    CHECK_STATUS(pyh_channel_receive(channel, deadline_ns, &item), expected);
    CHECK(item == channel);
}

static void items_come_in_order_round_the_ring(void)
{
    pyh_channel channel = {0};
    CHECK_STATUS(pyh_channel_init(&channel, 3), PYHOST_OK);
    for (size_t i = 0; i < 20; i++) {
        CHECK_STATUS(send_one(&channel, item_of(0, 2 * i)), PYHOST_OK);
        CHECK_STATUS(send_one(&channel, item_of(0, 2 * i + 1)), PYHOST_OK);
        CHECK_EQUAL(pyh_channel_depth(&channel), 2);
        check_next(&channel, item_of(0, 2 * i));
        check_next(&channel, item_of(0, 2 * i + 1));
    }
    pyh_channel_deinit(&channel);
}

static void full_channels_take_what_fits(void)
{
    pyh_channel channel = {0};
    void *items[] = {item_of(0, 0), item_of(0, 1), item_of(0, 2), item_of(0, 3)};
    size_t sent = SIZE_MAX;
    CHECK_STATUS(pyh_channel_init(&channel, 3), PYHOST_OK);
    CHECK_STATUS(pyh_channel_send(&channel, items, 0, &sent), PYHOST_OK);
    CHECK_EQUAL(sent, 0);
    CHECK_STATUS(pyh_channel_send(&channel, items, 4, &sent), PYHOST_FULL);
    CHECK_EQUAL(sent, 3);
    CHECK_STATUS(send_one(&channel, items[3]), PYHOST_FULL);
    check_next(&channel, items[0]);
    CHECK_STATUS(send_one(&channel, items[3]), PYHOST_OK);
    for (size_t i = 1; i < 4; i++) {
        check_next(&channel, items[i]);
    }
    CHECK_EQUAL(pyh_channel_depth(&channel), 0);
    pyh_channel_deinit(&channel);
}

static void receiving_from_an_empty_one_times_out(void)
{
    pyh_channel channel = {0};
    CHECK_STATUS(pyh_channel_init(&channel, 1), PYHOST_OK);
    check_none(&channel, 0, PYHOST_TIMEOUT);
    check_none(&channel, pyh_now_ns() - 1, PYHOST_TIMEOUT);
    int64_t deadline = pyh_deadline_after(1000000);
    check_none(&channel, deadline, PYHOST_TIMEOUT);
    CHECK(pyh_now_ns() >= deadline);
    pyh_channel_deinit(&channel);
}

static void closed_channels_give_what_they_accepted(void)
{
    pyh_channel channel = {0};
    CHECK_STATUS(pyh_channel_init(&channel, 4), PYHOST_OK);
    CHECK_STATUS(send_one(&channel, item_of(0, 0)), PYHOST_OK);
    pyh_channel_close(&channel);
    pyh_channel_close(&channel);
    CHECK_STATUS(send_one(&channel, item_of(0, 1)), PYHOST_CLOSED);
    check_next(&channel, item_of(0, 0));
    check_none(&channel, 0, PYHOST_CLOSED);
    check_none(&channel, PYH_NEVER, PYHOST_CLOSED);
    pyh_channel_deinit(&channel);
}

static void wait_for_close(size_t index, void *shared)
{
    if (index == 0) {
        pyh_channel_close(shared);
    } else {
        check_none(shared, PYH_NEVER, PYHOST_CLOSED);
    }
}

static void closing_wakes_every_receiver(void)
{
    for (int round = 0; round < 100; round++) {
        pyh_channel channel = {0};
        CHECK_STATUS(pyh_channel_init(&channel, 1), PYHOST_OK);
        threads_run(1 + RECEIVERS, wait_for_close, &channel);
        pyh_channel_deinit(&channel);
    }
}

static void send_batch_or_receive_one(size_t index, void *shared)
{
    pyh_channel *channel = shared;
    void *items[RECEIVERS], *item;
    size_t waiting = 0, sent;
    if (index > 0) {
        CHECK_STATUS(pyh_channel_receive(channel, PYH_NEVER, &item), PYHOST_OK);
        return;
    }
    while (waiting < RECEIVERS) {
        sched_yield();
        pyh_mutex_lock(&channel->mutex);
        waiting = channel->waiting;
        pyh_mutex_unlock(&channel->mutex);
    }
    for (size_t i = 0; i < RECEIVERS; i++) {
        items[i] = item_of(0, i);
    }
    CHECK_STATUS(pyh_channel_send(channel, items, RECEIVERS, &sent), PYHOST_OK);
}

/* Every receiver sleeps when the items come, all in one batch. */
static void batches_wake_a_receiver_for_each_item(void)
{
    for (int round = 0; round < 50; round++) {
        pyh_channel channel = {0};
        CHECK_STATUS(pyh_channel_init(&channel, RECEIVERS), PYHOST_OK);
        threads_run(1 + RECEIVERS, send_batch_or_receive_one, &channel);
        CHECK_EQUAL(pyh_channel_depth(&channel), 0);
        pyh_channel_deinit(&channel);
    }
}

static void sending_to_a_full_one_times_out(void)
{
    pyh_channel channel = {0};
    CHECK_STATUS(pyh_channel_init(&channel, 1), PYHOST_OK);
    CHECK_STATUS(pyh_channel_send_wait(&channel, item_of(0, 0), 0), PYHOST_OK);
    CHECK_STATUS(pyh_channel_send_wait(&channel, item_of(0, 1), 0), PYHOST_FULL);
    CHECK_STATUS(pyh_channel_send_wait(&channel, item_of(0, 1), pyh_now_ns() - 1), PYHOST_FULL);
    int64_t deadline = pyh_deadline_after(1000000);
    CHECK_STATUS(pyh_channel_send_wait(&channel, item_of(0, 1), deadline), PYHOST_FULL);
    CHECK(pyh_now_ns() >= deadline);
    check_next(&channel, item_of(0, 0));
    check_none(&channel, 0, PYHOST_TIMEOUT);
    CHECK_STATUS(pyh_channel_send_wait(&channel, item_of(0, 2), deadline), PYHOST_OK);
    check_next(&channel, item_of(0, 2));
    pyh_channel_close(&channel);
    CHECK_STATUS(pyh_channel_send_wait(&channel, item_of(0, 3), PYH_NEVER), PYHOST_CLOSED);
    pyh_channel_deinit(&channel);
}

/* Waits until so many senders sleep. */
static void wait_blocked(pyh_channel *channel, size_t count)
{
    for (size_t blocked = 0; blocked < count;) {
        sched_yield();
        pyh_mutex_lock(&channel->mutex);
        blocked = channel->blocked;
        pyh_mutex_unlock(&channel->mutex);
    }
}

static void make_room_or_wait_for_it(size_t index, void *shared)
{
    pyh_channel *channel = shared;
    void *item;
    if (index > 0) {
        CHECK_STATUS(pyh_channel_send_wait(channel, item_of(index, 0), PYH_NEVER), PYHOST_OK);
        return;
    }
    wait_blocked(channel, SENDERS);
    for (size_t i = 0; i < 1 + SENDERS; i++) {
        CHECK_STATUS(pyh_channel_receive(channel, PYH_NEVER, &item), PYHOST_OK);
    }
}

/* Every sender sleeps when the first item is taken. */
static void each_item_that_is_taken_wakes_a_sender(void)
{
    for (int round = 0; round < 50; round++) {
        pyh_channel channel = {0};
        CHECK_STATUS(pyh_channel_init(&channel, 1), PYHOST_OK);
        CHECK_STATUS(send_one(&channel, item_of(0, 0)), PYHOST_OK);
        threads_run(1 + SENDERS, make_room_or_wait_for_it, &channel);
        CHECK_EQUAL(pyh_channel_depth(&channel), 0);
        pyh_channel_deinit(&channel);
    }
}

static void close_or_wait_for_room(size_t index, void *shared)
{
    if (index > 0) {
        CHECK_STATUS(pyh_channel_send_wait(shared, item_of(index, 0), PYH_NEVER), PYHOST_CLOSED);
    } else {
        wait_blocked(shared, SENDERS);
        CHECK(!pyh_channel_is_closed(shared));
        pyh_channel_close(shared);
        CHECK(pyh_channel_is_closed(shared));
    }
}

static void closing_wakes_every_sender(void)
{
    for (int round = 0; round < 50; round++) {
        pyh_channel channel = {0};
        CHECK_STATUS(pyh_channel_init(&channel, 1), PYHOST_OK);
        CHECK_STATUS(send_one(&channel, item_of(0, 0)), PYHOST_OK);
        threads_run(1 + SENDERS, close_or_wait_for_room, &channel);
        check_next(&channel, item_of(0, 0));
        check_none(&channel, PYH_NEVER, PYHOST_CLOSED);
        pyh_channel_deinit(&channel);
    }
}

static bool is_notified(pyh_notifier *notifier)
{
    bool notified = pyh_notifier_wait(notifier, pyh_now_ns() - 1) == PYHOST_OK;
    pyh_notifier_clear(notifier);
    return notified;
}

static void notifier_tells_of_the_first_item_and_of_the_end(void)
{
    pyh_channel channel = {0};
    pyh_notifier notifier;
    CHECK_STATUS(pyh_channel_init(&channel, 4), PYHOST_OK);
    CHECK_STATUS(pyh_notifier_init(&notifier), PYHOST_OK);
    pyh_channel_set_notifier(&channel, &notifier);
    CHECK(!is_notified(&notifier));
    CHECK_STATUS(send_one(&channel, item_of(0, 0)), PYHOST_OK);
    CHECK(is_notified(&notifier));
    CHECK_STATUS(send_one(&channel, item_of(0, 1)), PYHOST_OK);
    CHECK(!is_notified(&notifier));
    check_next(&channel, item_of(0, 0));
    check_next(&channel, item_of(0, 1));
    CHECK_STATUS(send_one(&channel, item_of(0, 2)), PYHOST_OK);
    CHECK(is_notified(&notifier));
    pyh_channel_notify(&channel);
    CHECK(is_notified(&notifier));
    pyh_channel_close(&channel);
    CHECK(is_notified(&notifier));
    pyh_channel_set_notifier(&channel, NULL);
    pyh_channel_notify(&channel);
    pyh_channel_close(&channel);
    CHECK(!is_notified(&notifier));
    pyh_notifier_deinit(&notifier);
    pyh_channel_deinit(&channel);
}

static void notifiers_are_calmed_when_nothing_is_there(void)
{
    pyh_channel channel = {0};
    pyh_notifier notifier;
    CHECK_STATUS(pyh_channel_init(&channel, 4), PYHOST_OK);
    CHECK_STATUS(pyh_notifier_init(&notifier), PYHOST_OK);
    pyh_channel_calm(&channel);
    pyh_channel_set_notifier(&channel, &notifier);
    CHECK_STATUS(send_one(&channel, item_of(0, 0)), PYHOST_OK);
    pyh_channel_calm(&channel);
    CHECK_STATUS(pyh_notifier_wait(&notifier, pyh_now_ns() - 1), PYHOST_OK);
    check_next(&channel, item_of(0, 0));
    pyh_channel_calm(&channel);
    CHECK(!is_notified(&notifier));
    pyh_channel_close(&channel);
    pyh_channel_calm(&channel);
    CHECK(is_notified(&notifier));
    pyh_notifier_deinit(&notifier);
    pyh_channel_deinit(&channel);
}

static void new_notifiers_learn_of_what_is_there(void)
{
    pyh_channel channel = {0};
    pyh_notifier notifier;
    CHECK_STATUS(pyh_channel_init(&channel, 4), PYHOST_OK);
    CHECK_STATUS(pyh_notifier_init(&notifier), PYHOST_OK);
    CHECK_STATUS(send_one(&channel, item_of(0, 0)), PYHOST_OK);
    pyh_channel_set_notifier(&channel, &notifier);
    CHECK(is_notified(&notifier));
    check_next(&channel, item_of(0, 0));
    pyh_channel_set_notifier(&channel, &notifier);
    CHECK(!is_notified(&notifier));
    pyh_channel_close(&channel);
    CHECK(is_notified(&notifier));
    pyh_channel_set_notifier(&channel, &notifier);
    CHECK(is_notified(&notifier));
    pyh_notifier_deinit(&notifier);
    pyh_channel_deinit(&channel);
}

/* What many threads send and receive. */
typedef struct {
    pyh_channel channel;
    bool waits; /* senders do, one item at a time, where there is no room */
    atomic_uint senders_left;
    atomic_uchar received[1 + SENDERS * ITEMS_EACH];
} traffic;

static void send_items(traffic *self, size_t sender)
{
    size_t next = 0;
    while (self->waits && next < ITEMS_EACH) {
        /* Deadlines that pass now and then. */
        int64_t deadline_ns = next % 3 == 0 ? PYH_NEVER : pyh_deadline_after((int64_t)next % 5 * 1000);
        pyhost_status status = pyh_channel_send_wait(&self->channel, item_of(sender, next), deadline_ns);
        CHECK(status == PYHOST_OK || (status == PYHOST_FULL && deadline_ns != PYH_NEVER));
        next += status == PYHOST_OK;
    }
    while (next < ITEMS_EACH) {
        void *batch[BATCH_MOST];
        size_t sent, count = 1 + next % BATCH_MOST;
        count = count < ITEMS_EACH - next ? count : ITEMS_EACH - next;
        for (size_t i = 0; i < count; i++) {
            batch[i] = item_of(sender, next + i);
        }
        if (pyh_channel_send(&self->channel, batch, count, &sent) == PYHOST_FULL) {
            sched_yield();
        }
        next += sent;
    }
    if (atomic_fetch_sub(&self->senders_left, 1) == 1) {
        pyh_channel_close(&self->channel);
    }
}

/* What one receiver gets of one sender comes in the order in which it was sent. */
static void receive_items(traffic *self)
{
    uintptr_t last_of[SENDERS] = {0};
    void *item;
    while (pyh_channel_receive(&self->channel, PYH_NEVER, &item) == PYHOST_OK) {
        size_t sender = ((uintptr_t)item - 1) / ITEMS_EACH;
        CHECK((uintptr_t)item > last_of[sender]);
        last_of[sender] = (uintptr_t)item;
        CHECK_EQUAL(atomic_fetch_add(&self->received[(uintptr_t)item], 1), 0);
    }
}

static void send_or_receive(size_t index, void *shared)
{
    if (index < SENDERS) {
        send_items(shared, index);
    } else {
        receive_items(shared);
    }
}

static void check_traffic(traffic *shared, size_t capacity)
{
    atomic_init(&shared->senders_left, SENDERS);
    CHECK_STATUS(pyh_channel_init(&shared->channel, capacity), PYHOST_OK);
    threads_run(SENDERS + RECEIVERS, send_or_receive, shared);
    for (size_t i = 1; i < CHECK_COUNT(shared->received); i++) {
        CHECK_EQUAL(shared->received[i], 1);
    }
    pyh_channel_deinit(&shared->channel);
}

static void every_item_arrives_exactly_once(void)
{
    static traffic shared;
    check_traffic(&shared, 16);
}

static void every_item_that_waited_arrives_exactly_once(void)
{
    static traffic tight = {.waits = true}, wide = {.waits = true};
    check_traffic(&tight, 1);
    check_traffic(&wide, 8);
}

static void empty_channels_can_be_resized(void)
{
    pyh_channel channel = {0};
    int items[3];
    CHECK_STATUS(pyh_channel_init(&channel, 1), PYHOST_OK);
    CHECK_STATUS(pyh_channel_resize(&channel, 2), PYHOST_OK);
    CHECK_STATUS(send_one(&channel, &items[0]), PYHOST_OK);
    check_next(&channel, &items[0]);
    CHECK_STATUS(pyh_channel_resize(&channel, 3), PYHOST_OK);
    for (size_t i = 0; i < 3; i++) {
        CHECK_STATUS(send_one(&channel, &items[i]), PYHOST_OK);
    }
    CHECK_STATUS(send_one(&channel, &items[0]), PYHOST_FULL);
    for (size_t i = 0; i < 3; i++) {
        check_next(&channel, &items[i]);
    }
    pyh_channel_deinit(&channel);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(empty_channels_can_be_resized),
        CHECK_TEST(items_come_in_order_round_the_ring),
        CHECK_TEST(full_channels_take_what_fits),
        CHECK_TEST(receiving_from_an_empty_one_times_out),
        CHECK_TEST(closed_channels_give_what_they_accepted),
        CHECK_TEST(closing_wakes_every_receiver),
        CHECK_TEST(batches_wake_a_receiver_for_each_item),
        CHECK_TEST(sending_to_a_full_one_times_out),
        CHECK_TEST(each_item_that_is_taken_wakes_a_sender),
        CHECK_TEST(closing_wakes_every_sender),
        CHECK_TEST(notifier_tells_of_the_first_item_and_of_the_end),
        CHECK_TEST(notifiers_are_calmed_when_nothing_is_there),
        CHECK_TEST(new_notifiers_learn_of_what_is_there),
        CHECK_TEST(every_item_arrives_exactly_once),
        CHECK_TEST(every_item_that_waited_arrives_exactly_once),
    };
    return check_main(tests, CHECK_COUNT(tests), argc, argv);
}
