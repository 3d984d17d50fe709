/* bench_baseline: what CPython and the kernel cost without pyhost, for scripts/bench_call.py.
 *
 * Both loops call the same Python function, f(x), in an own-GIL interpreter: one from the same thread by
 * PyThreadState_Swap, one on another thread by a pair of futexes. */
#define _GNU_SOURCE
#include <Python.h>

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char source[] = "def f(x):\n    return x\n";

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* A new interpreter with f in *function; its thread state is attached. */
static PyThreadState *new_interpreter(PyObject **function)
{
    const PyInterpreterConfig config = {
        .allow_threads = 1,
        .check_multi_interp_extensions = 1,
        .gil = PyInterpreterConfig_OWN_GIL,
    };
    PyThreadState *thread_state = NULL;
    PyStatus status = Py_NewInterpreterFromConfig(&thread_state, &config);
    if (PyStatus_Exception(status)) {
        Py_FatalError("no interpreter");
    }
    PyObject *namespace = PyDict_New();
    PyDict_SetItemString(namespace, "__builtins__", PyEval_GetBuiltins());
    Py_XDECREF(PyRun_String(source, Py_file_input, namespace, namespace));
    *function = Py_NewRef(PyDict_GetItemString(namespace, "f"));
    Py_DECREF(namespace);
    return thread_state;
}

static int call_function(PyObject *function, long value)
{
    PyObject *argument = PyLong_FromLong(value);
    PyObject *result = PyObject_CallOneArg(function, argument);
    int right = result != NULL && PyLong_AsLong(result) == value;
    Py_XDECREF(result);
    Py_DECREF(argument);
    return right;
}

/* swap_call(count) -> seconds per swap, call, swap back */
static PyObject *swap_call(PyObject *module, PyObject *argument)
{
    (void)module;
    long count = PyLong_AsLong(argument);
    PyObject *function;
    PyThreadState *outer = PyThreadState_Get();
    PyThreadState *inner = new_interpreter(&function);
    PyThreadState_Swap(outer);
    int right = 1;
    double started = now();
    for (long i = 0; i < count; i++) {
        PyThreadState_Swap(inner);
        right &= call_function(function, i);
        PyThreadState_Swap(outer);
    }
    double seconds = now() - started;
    PyThreadState_Swap(inner);
    Py_DECREF(function);
    Py_EndInterpreter(inner);
    PyThreadState_Swap(outer);
    if (!right) {
        PyErr_SetString(PyExc_RuntimeError, "a wrong answer");
        return NULL;
    }
    return PyFloat_FromDouble(seconds / (double)count);
}

static void futex_wait_until(_Atomic uint32_t *word, uint32_t wanted)
{
    uint32_t value;
    while ((value = atomic_load(word)) != wanted) {
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
    }
}

static void futex_post(_Atomic uint32_t *word, uint32_t value)
{
    atomic_store(word, value);
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

typedef struct {
    _Atomic uint32_t ping;
    _Atomic uint32_t pong;
    long count;
    int right;
} table;

static void *pong_main(void *argument)
{
    table *game = argument;
    PyObject *function;
    PyThreadState *thread_state = new_interpreter(&function);
    game->right = 1;
    futex_post(&game->pong, UINT32_MAX);
    for (uint32_t i = 1; i <= (uint32_t)game->count; i++) {
        futex_wait_until(&game->ping, i);
        game->right &= call_function(function, (long)i);
        futex_post(&game->pong, i);
    }
    Py_DECREF(function);
    Py_EndInterpreter(thread_state);
    return NULL;
}

/* ping_pong(count) -> seconds per wake-up, call on the other thread, wake-up */
static PyObject *ping_pong(PyObject *module, PyObject *argument)
{
    (void)module;
    table game = {.count = PyLong_AsLong(argument)};
    double seconds;
    pthread_t thread;
    Py_BEGIN_ALLOW_THREADS
    pthread_create(&thread, NULL, pong_main, &game);
    futex_wait_until(&game.pong, UINT32_MAX);
    double started = now();
    for (uint32_t i = 1; i <= (uint32_t)game.count; i++) {
        futex_post(&game.ping, i);
        futex_wait_until(&game.pong, i);
    }
    seconds = now() - started;
    pthread_join(thread, NULL);
    Py_END_ALLOW_THREADS
    if (!game.right) {
        PyErr_SetString(PyExc_RuntimeError, "a wrong answer");
        return NULL;
    }
    return PyFloat_FromDouble(seconds / (double)game.count);
}

static PyMethodDef methods[] = {
    {"swap_call", swap_call, METH_O, NULL},
    {"ping_pong", ping_pong, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "bench_baseline", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit_bench_baseline(void)
{
    return PyModule_Create(&definition);
}
