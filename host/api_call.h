/* api_call: the thread of callbacks. */
#ifndef PYH_API_CALL_H
#define PYH_API_CALL_H

/* Waits until every accepted call has had its callback, and ends the thread for good. All calls are answered or will
 * be by their deadline. Not from a callback. */
void pyh_callbacks_close(void);

#endif
