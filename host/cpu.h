/* cpu: processor time, of an account's threads and of single calls.
 *
 * An account's time is that of its interpreter's owner thread and of every thread that the plugin has started, ended
 * ones too; a direct call counts for the interpreter in which it runs. Reading a thread's clock is a system call of
 * half a microsecond, so calls under 20 µs and direct calls are measured by the wall clock, which then is next to the
 * same. */
#ifndef PYH_CPU_H
#define PYH_CPU_H

#include "account.h"

/* The calling thread belongs to the account until it ends. Without memory its time is not counted. */
void pyh_cpu_join(pyh_account *account);

/* Nanoseconds of processor time so far. Any thread, no GIL. */
int64_t pyh_cpu_read(pyh_account *account);

/* The processor time of code that this thread has run in the account's interpreter since started_ns (monotonic), in
 * nanoseconds, without what inner ones of its own have been told. */
int64_t pyh_cpu_since(int64_t started_ns, pyh_account *account);

#endif
