/* Tests of the runtime and its plugins, by the public interface alone. */
#include "program.h"
#include "threads.h"

enum { CALLERS = 8, CALLS_EACH = 2000 };

static void a_function_is_called(void)
{
    pyhost_builder *arguments = pyhost_builder_new();
    pyhost_builder_int(arguments, 40);
    pyhost_builder_int(arguments, 2);
    CHECK_EQUAL(runtime_int(runtime_call("arithmetic.add", arguments)), 42);
    pyhost_builder_int(arguments, 40);
    pyhost_builder_keyword(arguments, "right");
    pyhost_builder_int(arguments, 3);
    CHECK_EQUAL(runtime_int(runtime_call("arithmetic.add", arguments)), 43);
    pyhost_builder_free(arguments);
}

static void add_many_times(size_t index, void *shared)
{
    pyhost_function *const *functions = shared;
    pyhost_builder *arguments = pyhost_builder_new();
    for (int64_t i = 0; i < CALLS_EACH; i++) {
        pyhost_error *error = NULL;
        pyhost_value *value = NULL;
        pyhost_builder_int(arguments, (int64_t)index * CALLS_EACH);
        pyhost_builder_int(arguments, i);
        RUNTIME_CHECK(pyhost_function_call(functions[i % 2], arguments, 0, &value, &error));
        CHECK_EQUAL(runtime_int(value), (int64_t)index * CALLS_EACH + i);
    }
    pyhost_builder_free(arguments);
}

static void eight_threads_call_at_once(void)
{
    pyhost_function *functions[] = {runtime_function("arithmetic.add"), runtime_function("arithmetic.add_directly")};
    threads_run(CALLERS, add_many_times, functions);
    pyhost_function_unref(functions[0]);
    pyhost_function_unref(functions[1]);
}

static void plugins_are_listed_and_read(void)
{
    pyhost_error *error = NULL;
    char **names = NULL;
    size_t count = 0;
    pyhost_plugin_info info = {.size = sizeof info};
    RUNTIME_CHECK(pyhost_plugin_list(runtime, &names, &count, &error));
    CHECK_EQUAL(count, 2);
    CHECK_STRING(names[0], "arithmetic");
    CHECK_STRING(names[1], "broken");
    pyhost_names_free(names, count);
    RUNTIME_CHECK(pyhost_plugin_read(runtime, "arithmetic", &info, &error));
    CHECK_STRING(info.state, "running");
    CHECK_STRING(info.version, "1.2");
    CHECK_STRING(info.reason, "");
    CHECK_EQUAL(info.interpreters, 2);
    pyhost_plugin_info_clear(&info);
    RUNTIME_CHECK(pyhost_plugin_read(runtime, "broken", &info, &error));
    CHECK(strstr(info.reason, "as asked") != NULL);
    CHECK(strstr(info.traceback, "broken.py") != NULL);
    pyhost_plugin_info_clear(&info);
    CHECK_STATUS(pyhost_plugin_read(runtime, "absent", &info, &error), PYHOST_NO_PLUGIN);
    CHECK_STATUS(pyhost_error_status(error), PYHOST_NO_PLUGIN);
    CHECK_STRING(pyhost_error_plugin(error), "absent");
    pyhost_error_free(error);
}

static void plugins_are_loaded_stopped_and_unloaded(void)
{
    pyhost_error *error = NULL;
    char path[4096];
    snprintf(path, sizeof path, "%s/../more/doubler.py", getenv("PYHOST_TEST_PLUGINS"));
    RUNTIME_CHECK(pyhost_plugin_load(runtime, path, &error));
    pyhost_builder *arguments = pyhost_builder_new();
    pyhost_builder_int(arguments, 21);
    CHECK_EQUAL(runtime_int(runtime_call("doubler.double", arguments)), 42);
    RUNTIME_CHECK(pyhost_runtime_rescan(runtime, &error));
    RUNTIME_CHECK(pyhost_plugin_reload(runtime, "doubler", &error));
    pyhost_builder_int(arguments, 4);
    CHECK_EQUAL(runtime_int(runtime_call("doubler.double", arguments)), 8);
    pyhost_function *function = runtime_function("doubler.double");
    RUNTIME_CHECK(pyhost_plugin_stop(runtime, "doubler", &error));
    CHECK_STATUS(pyhost_function_call(function, arguments, 0, NULL, NULL), PYHOST_UNAVAILABLE);
    RUNTIME_CHECK(pyhost_plugin_start(runtime, "doubler", &error));
    pyhost_builder_int(arguments, 5);
    CHECK_STATUS(pyhost_function_call(function, arguments, 0, NULL, NULL), PYHOST_OK);
    RUNTIME_CHECK(pyhost_plugin_unload(runtime, "doubler", &error));
    CHECK_STATUS(pyhost_function_call(function, arguments, 0, NULL, &error), PYHOST_NO_PLUGIN);
    CHECK_STRING(pyhost_error_message(error), "doubler.double: no plugin of that name");
    CHECK_STRING(pyhost_error_function(error), "doubler.double");
    pyhost_error_free(error);
    CHECK_STATUS(pyhost_plugin_unload(runtime, "doubler", NULL), PYHOST_NO_PLUGIN);
    pyhost_function_unref(function);
    pyhost_builder_free(arguments);
}

static void what_does_not_load_says_why(void)
{
    pyhost_error *error = NULL;
    CHECK_STATUS(pyhost_plugin_reload(runtime, "broken", &error), PYHOST_NOT_LOADED);
    CHECK_STRING(pyhost_error_plugin(error), "broken");
    CHECK(strstr(pyhost_error_message(error), "as asked") != NULL);
    CHECK(strstr(pyhost_error_traceback(error), "broken.py") != NULL);
    pyhost_error_free(error);
    CHECK_STATUS(pyhost_plugin_load(runtime, "/absent", &error), PYHOST_NOT_LOADED);
    CHECK(strstr(pyhost_error_message(error), "/absent") != NULL);
    pyhost_error_free(error);
    CHECK_STATUS(pyhost_plugin_load(runtime, "not UTF-8: \xff", &error), PYHOST_UNENCODABLE);
    CHECK_STATUS(pyhost_error_status(error), PYHOST_UNENCODABLE);
    pyhost_error_free(error);
}

static void accounts_are_read(void)
{
    pyhost_builder *arguments = pyhost_builder_new();
    pyhost_function *function = runtime_function("arithmetic.same");
    pyhost_function_account before = {.size = sizeof before}, after = {.size = sizeof after};
    pyhost_plugin_account plugin = {.size = sizeof plugin};
    CHECK_STATUS(pyhost_function_account_read(function, &before), PYHOST_OK);
    pyhost_builder_none(arguments);
    pyhost_value_unref(runtime_call("arithmetic.same", arguments));
    CHECK_STATUS(pyhost_function_account_read(function, &after), PYHOST_OK);
    CHECK_EQUAL(after.calls, before.calls + 1);
    CHECK(after.total_ns > before.total_ns);
    CHECK_STATUS(pyhost_plugin_account_read(runtime, "arithmetic", &plugin), PYHOST_OK);
    CHECK_EQUAL(plugin.interpreters, 2);
    CHECK(plugin.calls >= after.calls);
    CHECK_EQUAL(plugin.memory_limit_bytes, INT64_MAX);
    CHECK(plugin.processor_ns > 0);
    CHECK_STATUS(pyhost_plugin_account_read(runtime, "absent", &plugin), PYHOST_NO_PLUGIN);
    pyhost_function_unref(function);
    pyhost_builder_free(arguments);
}

static void a_second_start_is_refused(void)
{
    pyhost_error *error = NULL;
    pyhost_runtime *second = NULL;
    CHECK_STATUS(pyhost_runtime_start(NULL, &second, &error), PYHOST_STARTED_BEFORE);
    CHECK(second == NULL);
    pyhost_error_free(error);
}

static void never(void *context, pyhost_call *call)
{
    check_failed(__FILE__, __LINE__, "a call was answered: %p %p", context, (void *)call);
}

/* After the tests: a handle outlives the runtime, which does not start again. */
static int end(int code)
{
    pyhost_function *function = runtime_function("arithmetic.add");
    code = runtime_end(code);
    CHECK(pyhost_function_call(function, NULL, 0, NULL, NULL) != PYHOST_OK);
    CHECK_STATUS(pyhost_function_submit_callback(function, NULL, 0, never, NULL, NULL, NULL), PYHOST_UNAVAILABLE);
    pyhost_function_unref(function);
    a_second_start_is_refused();
    return code;
}

int main(int argc, char **argv)
{
    static const check_test tests[] = {
        CHECK_TEST(a_function_is_called),
        CHECK_TEST(eight_threads_call_at_once),
        CHECK_TEST(plugins_are_listed_and_read),
        CHECK_TEST(plugins_are_loaded_stopped_and_unloaded),
        CHECK_TEST(what_does_not_load_says_why),
        CHECK_TEST(accounts_are_read),
        CHECK_TEST(a_second_start_is_refused),
    };
    runtime_begin();
    return end(check_main(tests, CHECK_COUNT(tests), argc, argv));
}
