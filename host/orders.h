/* orders: what a program's threads ask of the Python that looks after the plugins (pyhost/embed.py).
 *
 * An order is a verb and a value; the answer is a status and a value. Python takes them one after the other from a
 * queue and answers each, in any order. Loading and watching goes this way; calls never do. */
#ifndef PYH_ORDERS_H
#define PYH_ORDERS_H

#include "channel.h"
#include "message.h"

typedef struct pyh_order {
    _Atomic uint32_t references; /* of who gave it, and of who answers it */
    /* fixed */
    const char *verb;     /* static */
    pyh_message *request; /* owned; a value */
    /* written by who answers; read once `answered` is set */
    pyhost_status status;
    pyh_message *reply; /* owned */
    pyh_event answered;
} pyh_order;

/* Opens the queue; once. OK or NO_MEMORY. */
pyhost_status pyh_orders_open(void);

/* Nobody will take orders after all, and none has been given: as before it was opened. */
void pyh_orders_drop(void);

/* No more orders are taken; those that wait can still be. Takes no memory. */
void pyh_orders_close(void);

/* Nobody takes orders any more: closes the queue, and those that wait are answered with UNAVAILABLE. */
void pyh_orders_end(void);

/* Gives an order, taking over the request, and waits for its answer, without limit: its status; and *reply, which may be
 * NULL, is the caller's. UNAVAILABLE with no reply: nobody takes orders. Any thread, no GIL held. */
pyhost_status pyh_orders_give(const char *verb, pyh_message *request, pyh_message **reply);

/* The next order; CLOSED when there will be none. No GIL held. */
pyhost_status pyh_orders_take(pyh_order **order);

/* Answers it, taking over the reply. The order is gone then. Any thread. */
void pyh_orders_answer(pyh_order *order, pyhost_status status, pyh_message *reply);

#endif
