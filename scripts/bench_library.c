/* bench_library: what calls from a C program cost, beside what CPython and the kernel cost without pyhost.
 *
 *     cc -O2 scripts/bench_library.c $(pyhost config --cflags --libs) -I$(python -c 'import sysconfig; print(sysconfig.get_path("include"))') -o bench_library
 *     ./bench_library [ROUNDS]
 *
 * Every loop calls the same Python function, f(x), with an int, in an own-GIL interpreter, and checks the answer.
 * Prints a table, and exits with 1 when a target is missed. */
#define _GNU_SOURCE
#include <Python.h>

#include <linux/futex.h>
#include <pthread.h>
#include <pyhost.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { QUEUED_CALLS = 10000, DIRECT_CALLS = 200000, MOST_ROUNDS = 101 };

static const char plugin[] = "import pyhost\n\n"
                             "@pyhost.export\ndef f(x):\n    return x\n\n"
                             "@pyhost.export(direct=True)\ndef g(x):\n    return x\n";

static pyhost_function *queued, *direct;

static void die(const char *what)
{
    fprintf(stderr, "bench_library: %s\n", what);
    exit(2);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Seconds for each call of a plugin's function. */
static double call_plugin(pyhost_function *function, long count)
{
    pyhost_builder *arguments = pyhost_builder_new();
    double started = now();
    for (long i = 0; i < count; i++) {
        pyhost_value *value = NULL;
        int64_t answer = -1;
        pyhost_builder_int(arguments, i);
        if (pyhost_function_call(function, arguments, 0, &value, NULL) != PYHOST_OK) {
            die("a call failed");
        }
        pyhost_reader reader = pyhost_reader_make(value);
        pyhost_reader_int(&reader, &answer);
        if (answer != i) {
            die("a wrong answer");
        }
        pyhost_value_unref(value);
    }
    double seconds = now() - started;
    pyhost_builder_free(arguments);
    return seconds / (double)count;
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
    if (PyStatus_Exception(Py_NewInterpreterFromConfig(&thread_state, &config))) {
        die("no interpreter");
    }
    PyObject *names = PyDict_New();
    PyDict_SetItemString(names, "__builtins__", PyEval_GetBuiltins());
    Py_XDECREF(PyRun_String("def f(x):\n    return x\n", Py_file_input, names, names));
    *function = Py_NewRef(PyDict_GetItemString(names, "f"));
    Py_DECREF(names);
    return thread_state;
}

static void call_function(PyObject *function, long value)
{
    PyObject *argument = PyLong_FromLong(value);
    PyObject *result = PyObject_CallOneArg(function, argument);
    if (result == NULL || PyLong_AsLong(result) != value) {
        die("a wrong answer");
    }
    Py_DECREF(result);
    Py_DECREF(argument);
}

static void *swap_main(void *seconds)
{
    PyObject *function;
    PyThreadState *outer = PyThreadState_New(PyInterpreterState_Main());
    PyEval_RestoreThread(outer);
    PyThreadState *inner = new_interpreter(&function);
    PyThreadState_Swap(outer);
    double started = now();
    for (long i = 0; i < DIRECT_CALLS; i++) {
        PyThreadState_Swap(inner);
        call_function(function, i);
        PyThreadState_Swap(outer);
    }
    *(double *)seconds = (now() - started) / DIRECT_CALLS;
    PyThreadState_Swap(inner);
    Py_DECREF(function);
    Py_EndInterpreter(inner);
    PyThreadState_Swap(outer);
    PyThreadState_Clear(outer);
    PyThreadState_DeleteCurrent();
    return NULL;
}

/* Seconds for each bare PyThreadState_Swap, call, and swap back. On a thread of its own: one that has a thread state in
 * the main interpreter would call pyhost's direct functions through the queue from then on. */
static double swap_bare(void)
{
    double seconds = 0;
    pthread_t thread;
    if (pthread_create(&thread, NULL, swap_main, &seconds) != 0) {
        die("no thread");
    }
    pthread_join(thread, NULL);
    return seconds;
}

typedef struct {
    _Atomic uint32_t ping;
    _Atomic uint32_t pong;
    uint32_t count;
} table;

static void wait_until(_Atomic uint32_t *word, uint32_t wanted)
{
    uint32_t value;
    while ((value = atomic_load(word)) != wanted) {
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
    }
}

static void post(_Atomic uint32_t *word, uint32_t value)
{
    atomic_store(word, value);
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *pong_main(void *argument)
{
    table *game = argument;
    PyObject *function;
    PyThreadState *own = PyThreadState_New(PyInterpreterState_Main());
    PyEval_RestoreThread(own);
    PyThreadState *thread_state = new_interpreter(&function);
    post(&game->pong, UINT32_MAX);
    for (uint32_t i = 1; i <= game->count; i++) {
        wait_until(&game->ping, i);
        call_function(function, (long)i);
        post(&game->pong, i);
    }
    Py_DECREF(function);
    Py_EndInterpreter(thread_state);
    PyEval_RestoreThread(own);
    PyThreadState_Clear(own);
    PyThreadState_DeleteCurrent();
    return NULL;
}

/* Seconds for each bare futex wake-up, call on the other thread, and wake-up. */
static double ping_pong(uint32_t count)
{
    table game = {.count = count};
    pthread_t thread;
    if (pthread_create(&thread, NULL, pong_main, &game) != 0) {
        die("no thread");
    }
    wait_until(&game.pong, UINT32_MAX);
    double started = now();
    for (uint32_t i = 1; i <= count; i++) {
        post(&game.ping, i);
        wait_until(&game.pong, i);
    }
    double seconds = now() - started;
    pthread_join(thread, NULL);
    return seconds / count;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(double *numbers, int count)
{
    qsort(numbers, (size_t)count, sizeof *numbers, compare);
    return numbers[count / 2];
}

static double call_queued(void)
{
    return call_plugin(queued, QUEUED_CALLS);
}

static double call_direct(void)
{
    return call_plugin(direct, DIRECT_CALLS);
}

static double ping_pong_bare(void)
{
    return ping_pong(QUEUED_CALLS);
}

/* Measures pairs in turn, prints a line, and says whether the target is met. */
static int measure(const char *name, double (*ours)(void), const char *baseline, double (*theirs)(void), double target,
                   int rounds)
{
    double mine[MOST_ROUNDS], others[MOST_ROUNDS], ratios[MOST_ROUNDS];
    for (int i = 0; i < rounds; i++) {
        mine[i] = ours();
        others[i] = theirs();
        ratios[i] = mine[i] / others[i];
    }
    double ratio = median(ratios, rounds);
    printf("%-12s %8.0f ns   %-28s %8.0f ns   ratio %.2f, target <= %.1f%s\n", name, median(mine, rounds) * 1e9,
           baseline, median(others, rounds) * 1e9, ratio, target, ratio <= target ? "" : " MISSED");
    return ratio <= target;
}

static pyhost_runtime *start(void)
{
    char folder[] = "/tmp/pyhost-bench-XXXXXX", path[64];
    pyhost_runtime *runtime = NULL;
    pyhost_error *error = NULL;
    if (mkdtemp(folder) == NULL) {
        die("no folder");
    }
    snprintf(path, sizeof path, "%s/one.py", folder);
    FILE *file = fopen(path, "w");
    if (file == NULL || fputs(plugin, file) < 0 || fclose(file) != 0) {
        die("no plugin file");
    }
    pyhost_runtime_options options = {.size = sizeof options, .plugins = folder};
    if (pyhost_runtime_start(&options, &runtime, &error) != PYHOST_OK) {
        die(pyhost_error_message(error));
    }
    unlink(path);
    rmdir(folder);
    return runtime;
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 7;
    if (rounds < 1 || rounds > MOST_ROUNDS) {
        die("ROUNDS is 1 to 101");
    }
    pyhost_runtime *runtime = start();
    if (pyhost_function_new(runtime, "one.f", &queued) != PYHOST_OK ||
        pyhost_function_new(runtime, "one.g", &direct) != PYHOST_OK) {
        die("no memory");
    }
    int met = measure("queued call", call_queued, "bare futex ping-pong", ping_pong_bare, 2, rounds);
    met &= measure("direct call", call_direct, "bare PyThreadState_Swap", swap_bare, 1.5, rounds);
    pyhost_function_unref(direct);
    pyhost_function_unref(queued);
    pyhost_runtime_stop(runtime, 1000000000, NULL);
    return met ? 0 : 1;
}
