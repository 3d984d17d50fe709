/* crash: see crash.h. The handler does what a signal handler may: it reads atomics and thread-local variables, and
 * calls write. */
#include "crash.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { PLACES = 1024 };

static struct {
    PyInterpreterState *_Atomic python; /* set last, cleared first; NULL: free */
    _Atomic uint64_t id;
    const char *_Atomic plugin;
} places[PLACES];

static const struct {
    int number;
    const char *name;
} signals[] = {
    {SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"}, {SIGFPE, "SIGFPE"}, {SIGILL, "SIGILL"}, {SIGABRT, "SIGABRT"},
};
enum { SIGNALS = sizeof signals / sizeof signals[0] };

static struct sigaction before[SIGNALS];
static atomic_flag installed = ATOMIC_FLAG_INIT;

/* Stands in a place while it is being filled. */
static char taken;

void pyh_crash_note(PyInterpreterState *python, uint64_t id, const char *plugin)
{
    for (size_t i = 0; i < PLACES; i++) {
        PyInterpreterState *nobody = NULL;
        if (atomic_compare_exchange_strong(&places[i].python, &nobody, (PyInterpreterState *)&taken)) {
            atomic_store(&places[i].id, id);
            atomic_store(&places[i].plugin, plugin);
            atomic_store(&places[i].python, python);
            return;
        }
    }
}

void pyh_crash_forget(PyInterpreterState *python)
{
    for (size_t i = 0; i < PLACES; i++) {
        PyInterpreterState *found = python;
        if (atomic_compare_exchange_strong(&places[i].python, &found, NULL)) {
            return;
        }
    }
}

/* The interpreter that this thread is in; what faulthandler dumps, where C code that released the GIL has crashed. */
static PyInterpreterState *interpreter_here(void)
{
    PyThreadState *thread_state = PyThreadState_GetUnchecked();
    if (thread_state == NULL) {
        thread_state = PyGILState_GetThisThreadState();
    }
    return thread_state != NULL ? thread_state->interp : NULL;
}

static char *add_text(char *at, const char *end, const char *text)
{
    while (at < end && *text != '\0') {
        *at++ = *text++;
    }
    return at;
}

static char *add_number(char *at, const char *end, uint64_t number)
{
    char digits[21];
    size_t start = sizeof digits - 1;
    digits[start] = '\0';
    do {
        digits[--start] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return add_text(at, end, digits + start);
}

static void name_plugin(const char *signal_name, size_t place)
{
    char line[256];
    const char *end = line + sizeof line;
    char *at = add_text(line, end, "pyhost: ");
    at = add_text(at, end, signal_name);
    at = add_text(at, end, " in plugin '");
    at = add_text(at, end, atomic_load(&places[place].plugin));
    at = add_text(at, end, "', interpreter ");
    at = add_number(at, end, atomic_load(&places[place].id));
    at = add_text(at, end, "\n");
    /* The process dies; there is nothing to be done where this fails. */
    ssize_t written = write(STDERR_FILENO, line, (size_t)(at - line));
    (void)written;
}

static void on_signal(int number)
{
    size_t which = 0;
    while (which < SIGNALS - 1 && signals[which].number != number) {
        which++;
    }
    PyInterpreterState *here = interpreter_here();
    for (size_t i = 0; here != NULL && i < PLACES; i++) {
        if (atomic_load(&places[i].python) == here) {
            name_plugin(signals[which].name, i);
            break;
        }
    }
    sigaction(number, &before[which], NULL);
    raise(number);
}

void pyh_crash_install(void)
{
    if (atomic_flag_test_and_set(&installed)) {
        return;
    }
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_NODEFER | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < SIGNALS; i++) {
        sigaction(signals[i].number, &action, &before[i]);
    }
}
