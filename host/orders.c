/* orders: see orders.h. */
#include "orders.h"

#include <stdlib.h>

enum { ORDERS_MOST = 1024 };

static pyh_channel queue;
static _Atomic bool is_open;

pyhost_status pyh_orders_open(void)
{
    pyhost_status status = pyh_channel_init(&queue, ORDERS_MOST);
    atomic_store(&is_open, status == PYHOST_OK);
    return status;
}

void pyh_orders_drop(void)
{
    atomic_store(&is_open, false);
    pyh_channel_deinit(&queue);
    queue = (pyh_channel){0};
}

void pyh_orders_close(void)
{
    if (atomic_load(&is_open)) {
        pyh_channel_close(&queue);
    }
}

void pyh_orders_end(void)
{
    pyh_order *order;
    pyh_orders_close();
    while (pyh_orders_take(&order) == PYHOST_OK) {
        pyh_orders_answer(order, PYHOST_UNAVAILABLE, NULL);
    }
}

static void order_unref(pyh_order *order)
{
    if (atomic_fetch_sub_explicit(&order->references, 1, memory_order_acq_rel) == 1) {
        pyh_message_unref(order->request);
        pyh_message_unref(order->reply);
        pyh_event_deinit(&order->answered);
        free(order);
    }
}

pyhost_status pyh_orders_give(const char *verb, pyh_message *request, pyh_message **reply)
{
    pyh_order *order = atomic_load(&is_open) ? calloc(1, sizeof *order) : NULL;
    size_t sent = 0;
    *reply = NULL;
    if (order == NULL) {
        pyh_message_unref(request);
        return atomic_load(&is_open) ? PYHOST_NO_MEMORY : PYHOST_UNAVAILABLE;
    }
    atomic_init(&order->references, 2);
    order->verb = verb;
    order->request = request;
    pyh_event_init(&order->answered);
    void *item = order;
    pyhost_status status = pyh_channel_send(&queue, &item, 1, &sent);
    if (status != PYHOST_OK) {
        order_unref(order);
        order_unref(order);
        return status == PYHOST_CLOSED ? PYHOST_UNAVAILABLE : status;
    }
    while (pyh_event_wait(&order->answered, PYH_NEVER) != PYHOST_OK) {
        /* A signal handler has run; the program's business. */
    }
    status = order->status;
    *reply = order->reply;
    order->reply = NULL;
    order_unref(order);
    return status;
}

pyhost_status pyh_orders_take(pyh_order **order)
{
    void *item = NULL;
    pyhost_status status;
    do {
        status = pyh_channel_receive(&queue, PYH_NEVER, &item);
    } while (status == PYHOST_TIMEOUT);
    if (status == PYHOST_OK) {
        *order = item;
    }
    return status;
}

void pyh_orders_answer(pyh_order *order, pyhost_status status, pyh_message *reply)
{
    order->status = status;
    order->reply = reply;
    pyh_event_set(&order->answered);
    order_unref(order);
}
