/* cpu: processor time, of an account's threads and of single calls.
 *
 * An account's time is that of its interpreter's owner thread and of every thread that the plugin has started, ended
 * ones too; a direct call counts for the interpreter in which it runs. Reading a thread's clock is a system call of
 * half a microsecond, so stretches under 20 µs are measured by the wall clock, which then is next to the same. A long
 * one in another interpreter than the thread's own whose beginning was not measured stays with the thread's. */
#ifndef PYH_CPU_H
#define PYH_CPU_H

#include "account.h"

/* The calling thread belongs to the account until it ends. Without memory its time is not counted. */
void pyh_cpu_join(pyh_account *account);

/* Nanoseconds of processor time so far. Any thread, no GIL. */
int64_t pyh_cpu_read(pyh_account *account);

/* One stretch of code that this thread runs in an account's interpreter; stretches nest. */
typedef struct pyh_cpu_span {
    pyh_account *account;
    int64_t started_ns;
    int64_t clock_ns; /* the thread's clock then, -1 if it was not read */
    int64_t told_ns;  /* what all earlier spans of the thread were told */
    bool is_long;     /* once ended: worth reading the clock for, next time */
} pyh_cpu_span;

/* Begins one, now. may_be_long: the same code took long before; its clock is read then. */
void pyh_cpu_begin(pyh_cpu_span *span, pyh_account *account, int64_t now_ns, bool may_be_long);

/* Ends it, now, attached to the account's interpreter: its processor time in nanoseconds without that of inner spans.
 * What it took in another interpreter than the thread's own goes from that one's account to the span's. */
int64_t pyh_cpu_end(pyh_cpu_span *span, int64_t now_ns);

#endif
