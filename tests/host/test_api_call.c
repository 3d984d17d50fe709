/* Tests of calls by the public interface: their errors, deadlines, ways to wait, and functions of the program. */
#include "program.h"
#include "threads.h"

#include <poll.h>
#include <time.h>

enum { CALLERS = 8, CALLS_EACH = 300, QUEUED = 64 };

static const int64_t SHORT_NS = 50000000;

/* Calls with what the builder holds; the error that it fails with. */
static pyhost_error *fail_to_call(const char *name, pyhost_builder *arguments, int64_t timeout_ns,
                                  pyhost_status expected)
{
    pyhost_error *error = NULL;
    pyhost_value *value = NULL;
    pyhost_function *function = runtime_function(name);
    CHECK_STATUS(pyhost_function_call(function, arguments, timeout_ns, &value, &error), expected);
    CHECK(value == NULL && error != NULL);
    CHECK_STATUS(pyhost_error_status(error), expected);
    CHECK_STRING(pyhost_error_function(error), name);
    pyhost_function_unref(function);
    return error;
}

static void exceptions_arrive(void)
{
    pyhost_builder *arguments = pyhost_builder_new();
    pyhost_builder_str(arguments, "as asked", 8);
    pyhost_error *error = fail_to_call("arithmetic.fail", arguments, 0, PYHOST_RAISED);
    CHECK_STRING(pyhost_error_message(error), "arithmetic.fail raised ValueError: as asked");
    CHECK_STRING(pyhost_error_type(error), "ValueError");
    CHECK_STRING(pyhost_error_plugin(error), "arithmetic");
    CHECK(strstr(pyhost_error_traceback(error), "in fail") != NULL);
    pyhost_error_free(error);
    pyhost_error_free(NULL);
    pyhost_builder_free(arguments);
}

static void other_failures_arrive(void)
{
    pyhost_builder *arguments = pyhost_builder_new();
    pyhost_error_free(fail_to_call("absent.add", arguments, 0, PYHOST_NO_PLUGIN));
    pyhost_error_free(fail_to_call("arithmetic.absent", arguments, 0, PYHOST_NO_FUNCTION));
    pyhost_error_free(fail_to_call("broken.add", arguments, 0, PYHOST_UNAVAILABLE));
    pyhost_error_free(fail_to_call("arithmetic.add", arguments, 0, PYHOST_BAD_ARGUMENTS));
    pyhost_error_free(fail_to_call("arithmetic.unsendable", arguments, 0, PYHOST_BAD_RESULT));
    pyhost_builder_int(arguments, 1);
    pyhost_error_free(fail_to_call("arithmetic.add", arguments, -1, PYHOST_MISUSED));
    pyhost_error_free(fail_to_call("arithmetic.add", arguments, 0, PYHOST_BAD_ARGUMENTS)); /* it is empty now */
    pyhost_builder_open(arguments, PYHOST_KIND_LIST);
    pyhost_error_free(fail_to_call("arithmetic.add", arguments, 0, PYHOST_MISUSED));
    pyhost_builder_str(arguments, "\xff", 1);
    pyhost_error_free(fail_to_call("arithmetic.add", arguments, 0, PYHOST_UNENCODABLE));
    pyhost_function *function = NULL;
    CHECK_STATUS(pyhost_function_new(runtime, "nodot", &function), PYHOST_MISUSED);
    CHECK(function == NULL);
    pyhost_builder_free(arguments);
}

static void deadlines_are_kept(void)
{
    pyhost_error_free(fail_to_call("arithmetic.spin", NULL, SHORT_NS, PYHOST_TIMEOUT));
    pyhost_error_free(fail_to_call("arithmetic.spin_directly", NULL, SHORT_NS, PYHOST_TIMEOUT));
    pyhost_value_unref(runtime_call("arithmetic.echo", NULL));
}

static void answers_are_waited_for(void)
{
    pyhost_error *error = NULL;
    pyhost_call *call = NULL;
    pyhost_value *value = NULL;
    pyhost_builder *arguments = pyhost_builder_new();
    pyhost_function *function = runtime_function("arithmetic.add");
    pyhost_builder_int(arguments, 5);
    RUNTIME_CHECK(pyhost_function_submit(function, arguments, 0, NULL, &value, &call, &error));
    CHECK(pyhost_call_token(call) == &value);
    RUNTIME_CHECK(pyhost_call_result(call, &value, &error));
    CHECK(pyhost_call_is_answered(call));
    CHECK(!pyhost_call_cancel(call));
    CHECK_EQUAL(runtime_int(value), 5);
    RUNTIME_CHECK(pyhost_call_result(call, &value, &error));
    CHECK_EQUAL(runtime_int(value), 5);
    pyhost_call *again = pyhost_call_ref(call);
    pyhost_call_unref(call);
    pyhost_call_unref(again);
    CHECK(pyhost_function_ref(function) == function);
    pyhost_function_unref(function);
    pyhost_function_unref(function);
    pyhost_builder_free(arguments);
}

static void a_call_is_cancelled(void)
{
    pyhost_error *error = NULL;
    pyhost_call *call = NULL;
    pyhost_function *function = runtime_function("arithmetic.spin");
    RUNTIME_CHECK(pyhost_function_submit(function, NULL, 0, NULL, NULL, &call, &error));
    CHECK(pyhost_call_cancel(call));
    CHECK_STATUS(pyhost_call_result(call, NULL, &error), PYHOST_CANCELLED);
    pyhost_error_free(error);
    pyhost_call_unref(call);
    pyhost_function_unref(function);
}

static void answers_gather_at_a_descriptor(void)
{
    pyhost_error *error = NULL;
    pyhost_completions *completions = NULL;
    bool seen[QUEUED] = {false};
    pyhost_builder *arguments = pyhost_builder_new();
    pyhost_function *function = runtime_function("arithmetic.add");
    CHECK_STATUS(pyhost_completions_new(&completions), PYHOST_OK);
    CHECK(pyhost_completions_take(completions) == NULL);
    CHECK_STATUS(pyhost_completions_wait(completions, 1), PYHOST_TIMEOUT);
    for (int64_t i = 0; i < QUEUED; i++) {
        pyhost_builder_int(arguments, i);
        RUNTIME_CHECK(pyhost_function_submit(function, arguments, 0, completions, &seen[i], NULL, &error));
    }
    for (int taken = 0; taken < QUEUED;) {
        struct pollfd place = {.fd = pyhost_completions_fd(completions), .events = POLLIN};
        CHECK_EQUAL(poll(&place, 1, 20000), 1);
        CHECK_STATUS(pyhost_completions_wait(completions, 0), PYHOST_OK);
        pyhost_call *call;
        while ((call = pyhost_completions_take(completions)) != NULL) {
            pyhost_value *value = NULL;
            bool *token = pyhost_call_token(call);
            RUNTIME_CHECK(pyhost_call_result(call, &value, &error));
            CHECK_EQUAL(runtime_int(value), token - seen);
            *token = true;
            taken++;
            pyhost_call_unref(call);
        }
    }
    for (int i = 0; i < QUEUED; i++) {
        CHECK(seen[i]);
    }
    pyhost_builder_int(arguments, 1);
    RUNTIME_CHECK(pyhost_function_submit(function, arguments, 0, completions, NULL, NULL, &error));
    pyhost_completions_free(completions);
    pyhost_function_unref(function);
    pyhost_builder_free(arguments);
}

typedef struct {
    atomic_int answered;
    atomic_int right;
} tally;

static void count_answer(void *context, pyhost_call *call)
{
    tally *counts = context;
    pyhost_value *value = NULL;
    CHECK_STATUS(pyhost_call_result(call, &value, NULL), PYHOST_OK);
    CHECK(pyhost_call_token(call) == context);
    atomic_fetch_add(&counts->right, runtime_int(value) == 7);
    atomic_fetch_add(&counts->answered, 1);
}

static void submit_with_callbacks(size_t index, void *shared)
{
    (void)index;
    pyhost_builder *arguments = pyhost_builder_new();
    pyhost_function *function = runtime_function("arithmetic.add");
    for (int i = 0; i < CALLS_EACH; i++) {
        pyhost_status status;
        do {
            pyhost_builder_int(arguments, 7);
            status = pyhost_function_submit_callback(function, arguments, 0, count_answer, shared, NULL, NULL);
        } while (status == PYHOST_FULL);
        CHECK_STATUS(status, PYHOST_OK);
    }
    pyhost_function_unref(function);
    pyhost_builder_free(arguments);
}

static void callbacks_come_exactly_once(void)
{
    tally counts = {0};
    threads_run(CALLERS, submit_with_callbacks, &counts);
    while (atomic_load(&counts.answered) < CALLERS * CALLS_EACH) {
        sched_yield();
    }
    CHECK_EQUAL(atomic_load(&counts.right), CALLERS * CALLS_EACH);
    pyhost_function *function = runtime_function("absent.add");
    CHECK_STATUS(pyhost_function_submit_callback(function, NULL, 0, count_answer, &counts, NULL, NULL),
                 PYHOST_NO_PLUGIN);
    pyhost_function_unref(function);
}

/* Calls of plugins from threads that come and go, in several interpreters while some of those end. */
static void call_directly(size_t index, void *shared)
{
    pyhost_function *const *functions = shared;
    pyhost_builder *arguments = pyhost_builder_new();
    for (int64_t i = 0; i < CALLS_EACH; i++) {
        pyhost_value *value = NULL;
        pyhost_builder_int(arguments, i);
        CHECK_STATUS(pyhost_function_call(functions[(i + (int64_t)index) % 2], arguments, 0, &value, NULL), PYHOST_OK);
        CHECK_EQUAL(runtime_int(value), i);
    }
    pyhost_builder_free(arguments);
}

static atomic_bool has_enough;

static void reload_meanwhile(size_t index, void *shared)
{
    if (index == 0) {
        while (!atomic_load(&has_enough)) {
            CHECK_STATUS(pyhost_plugin_reload(runtime, "other", NULL), PYHOST_OK);
        }
    } else {
        for (int round = 0; round < 10; round++) {
            threads_run(2, call_directly, shared);
        }
        atomic_store(&has_enough, true);
    }
}

static void direct_calls_live_through_reloads(void)
{
    pyhost_error *error = NULL;
    char path[4096];
    snprintf(path, sizeof path, "%s/../more/other.py", getenv("PYHOST_TEST_PLUGINS"));
    RUNTIME_CHECK(pyhost_plugin_load(runtime, path, &error));
    pyhost_function *functions[] = {runtime_function("arithmetic.add_directly"), runtime_function("other.same_directly")};
    threads_run(2, reload_meanwhile, functions);
    call_directly(0, functions);
    pyhost_function_unref(functions[0]);
    pyhost_function_unref(functions[1]);
    RUNTIME_CHECK(pyhost_plugin_unload(runtime, "other", &error));
}

static void calls_in_json(void)
{
    pyhost_error *error = NULL;
    char *text = NULL;
    RUNTIME_CHECK(pyhost_call_json(runtime, "arithmetic.echo", "[1, \"a\", {\"b\": [null, 1.5]}]", 0, &text, &error));
    CHECK_STRING(text, "[[1,\"a\",{\"b\":[null,1.5]}],{}]");
    pyhost_text_free(text);
    RUNTIME_CHECK(pyhost_call_json(runtime, "arithmetic.add", "{\"left\": 1, \"right\": 2}", 0, &text, &error));
    CHECK_STRING(text, "3");
    pyhost_text_free(text);
    RUNTIME_CHECK(pyhost_call_json(runtime, "arithmetic.echo", NULL, 0, NULL, &error));
    CHECK_STATUS(pyhost_call_json(runtime, "arithmetic.echo", "{", 0, &text, &error), PYHOST_MALFORMED);
    CHECK(strstr(pyhost_error_message(error), "not valid JSON") != NULL);
    pyhost_error_free(error);
    CHECK_STATUS(pyhost_call_json(runtime, "arithmetic.strange", NULL, 0, &text, &error), PYHOST_BAD_RESULT);
    pyhost_error_free(error);
    CHECK_STATUS(pyhost_call_json(runtime, "arithmetic.fail", "[\"x\"]", 0, &text, &error), PYHOST_RAISED);
    CHECK_STRING(pyhost_error_type(error), "ValueError");
    pyhost_error_free(error);
    CHECK_STATUS(pyhost_call_json(runtime, "nodot", NULL, 0, &text, NULL), PYHOST_MISUSED);
}

/* Adds up its arguments, times the keyword "factor", by a plugin's function. */
static pyhost_status sum(void *context, pyhost_request *request, pyhost_builder *result)
{
    pyhost_reader arguments = pyhost_request_arguments(request), keywords = pyhost_request_keywords(request);
    int64_t number = 0, factor = 1, total = *(int64_t *)context;
    while (pyhost_reader_left(&arguments) > 0) {
        if (pyhost_reader_int(&arguments, &number) != PYHOST_OK) {
            return pyhost_request_fail(request, "sum takes int");
        }
        total += number;
    }
    if (pyhost_reader_left(&keywords) > 0) {
        pyhost_reader_skip(&keywords);
        pyhost_reader_int(&keywords, &factor);
    }
    pyhost_builder *inner = pyhost_builder_new();
    pyhost_builder_int(inner, total * factor);
    pyhost_builder_int(inner, 0);
    pyhost_builder_int(result, runtime_int(runtime_call("arithmetic.add_directly", inner)));
    pyhost_builder_free(inner);
    return PYHOST_OK;
}

static pyhost_status refuse(void *context, pyhost_request *request, pyhost_builder *result)
{
    (void)context;
    (void)request;
    (void)result;
    return PYHOST_FULL;
}

static pyhost_status do_nothing(void *context, pyhost_request *request, pyhost_builder *result)
{
    (void)context;
    (void)request;
    (void)result;
    return PYHOST_OK;
}

static void ask(pyhost_builder *arguments, const char *name)
{
    pyhost_builder_str(arguments, name, strlen(name));
}

static void plugins_call_the_program(void)
{
    int64_t start = 100;
    pyhost_builder *arguments = pyhost_builder_new();
    CHECK_STATUS(pyhost_host_register("sum", sum, &start), PYHOST_OK);
    CHECK_STATUS(pyhost_host_register("refuse", refuse, NULL), PYHOST_OK);
    CHECK_STATUS(pyhost_host_register("do_nothing", do_nothing, NULL), PYHOST_OK);
    CHECK_STATUS(pyhost_host_register("no-name", sum, NULL), PYHOST_MISUSED);
    for (int i = 0; i < 2; i++) {
        ask(arguments, "sum");
        pyhost_builder_int(arguments, 1);
        pyhost_builder_int(arguments, 2);
        pyhost_builder_keyword(arguments, "factor");
        pyhost_builder_int(arguments, 2);
        CHECK_EQUAL(runtime_int(runtime_call(i == 0 ? "arithmetic.ask" : "arithmetic.ask_directly", arguments)), 206);
    }
    ask(arguments, "do_nothing");
    pyhost_value *value = runtime_call("arithmetic.ask", arguments);
    pyhost_reader reader = pyhost_reader_make(value);
    CHECK_STATUS(pyhost_reader_none(&reader), PYHOST_OK);
    pyhost_value_unref(value);
    ask(arguments, "sum");
    pyhost_builder_none(arguments);
    pyhost_error *error = fail_to_call("arithmetic.ask", arguments, 0, PYHOST_RAISED);
    CHECK_STRING(pyhost_error_message(error), "arithmetic.ask raised RuntimeError: pyhost.host.sum: sum takes int");
    pyhost_error_free(error);
    ask(arguments, "refuse");
    error = fail_to_call("arithmetic.ask", arguments, 0, PYHOST_RAISED);
    CHECK(strstr(pyhost_error_message(error), "every inbox of the plugin, or the channel, is full") != NULL);
    pyhost_error_free(error);
    CHECK_STATUS(pyhost_host_register("refuse", NULL, NULL), PYHOST_OK);
    ask(arguments, "refuse");
    error = fail_to_call("arithmetic.ask", arguments, 0, PYHOST_RAISED);
    CHECK_STRING(pyhost_error_type(error), "AttributeError");
    pyhost_error_free(error);
    pyhost_builder_free(arguments);
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(exceptions_arrive),
        CHECK_TEST(other_failures_arrive),
        CHECK_TEST(deadlines_are_kept),
        CHECK_TEST(answers_are_waited_for),
        CHECK_TEST(a_call_is_cancelled),
        CHECK_TEST(answers_gather_at_a_descriptor),
        CHECK_TEST(callbacks_come_exactly_once),
        CHECK_TEST(direct_calls_live_through_reloads),
        CHECK_TEST(calls_in_json),
        CHECK_TEST(plugins_call_the_program),
    };
    runtime_begin();
    return runtime_end(check_main(tests, CHECK_COUNT(tests), argc, argv));
}
