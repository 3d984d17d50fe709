/* crash: which plugin it was, when a signal ends the process.
 *
 * Interpreters that run a plugin are noted in a fixed table of atomics, so that a signal handler can look up the one
 * that its thread is in. */
#ifndef PYH_CRASH_H
#define PYH_CRASH_H

#include <Python.h>

#include <stdint.h>

/* Notes that the interpreter runs the plugin; the name (borrowed) must stay until it is forgotten. Beyond 1024
 * interpreters at once the further ones stay nameless. Any thread, GIL held or not. */
void pyh_crash_note(PyInterpreterState *python, uint64_t id, const char *plugin);
void pyh_crash_forget(PyInterpreterState *python);

/* From now on SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT write a line to stderr that names the plugin, if the thread
 * is in one, and go on to who handled them before: CPython's faulthandler, if it was enabled before. Again changes
 * nothing. */
void pyh_crash_install(void);

#endif
