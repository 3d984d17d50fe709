/* Tests of what the interface for programs does without memory, threads or descriptors: as test_no_memory.c, in a
 * program with a runtime. How a scenario is added stands in shortage.h. */
#include "shortage.h"

#include "program.h"

#define NO_MEMORY SHORTAGE_OUTCOME(NO_MEMORY)
#define SYSTEM SHORTAGE_OUTCOME(SYSTEM)
#define OK SHORTAGE_OUTCOME(OK)

/* The outcome with its error, which is freed. Where Python tells of memory or a thread it is NO_MEMORY or SYSTEM, and
 * NO_MEMORY where there is none to tell why. */
static pyhost_status take_error(pyhost_status status, pyhost_error *error)
{
    if (status == PYHOST_OK) {
        CHECK(error == NULL);
        return status;
    }
    CHECK(error != NULL);
    CHECK_STATUS(pyhost_error_status(error), status);
    const char *text = pyhost_error_message(error);
    bool is_told = status == PYHOST_RAISED || status == PYHOST_BAD_RESULT || status == PYHOST_UNENCODABLE ||
                   status == PYHOST_NOT_LOADED;
    bool is_system = is_told && (strstr(text, "no more threads") != NULL || strstr(text, "could not create") != NULL);
    bool is_bare = (status == PYHOST_RAISED || status == PYHOST_NOT_LOADED) && pyhost_error_type(error)[0] == '\0' &&
                   strstr(text, pyhost_status_message(status)) != NULL;
    if (is_told && !is_system && !is_bare && strcasestr(text, "memory") == NULL) {
        check_failed(__FILE__, __LINE__, "the error is %s: %s", pyhost_status_name(status), text);
    }
    pyhost_error_free(error);
    return is_system ? PYHOST_SYSTEM : is_told ? PYHOST_NO_MEMORY : status;
}

static pyhost_function *adds, *adds_directly, *fails, *sends_nothing, *asks;

static pyhost_status handles_are_made(void)
{
    pyhost_function *function = NULL;
    pyhost_status status = pyhost_function_new(runtime, "plugin.function", &function);
    CHECK_EQUAL(function != NULL, status == PYHOST_OK);
    pyhost_function_unref(function);
    return status;
}

/* A builder with 40 and, as a keyword, 2. */
static pyhost_builder *two_numbers(void)
{
    pyhost_builder *arguments = pyhost_builder_new();
    if (arguments != NULL) {
        pyhost_builder_int(arguments, 40);
        pyhost_builder_keyword(arguments, "right");
        pyhost_builder_int(arguments, 2);
    }
    return arguments;
}

static pyhost_status add_with(pyhost_function *function)
{
    pyhost_error *error = NULL;
    pyhost_value *value = NULL;
    pyhost_builder *arguments = two_numbers();
    if (arguments == NULL) {
        return PYHOST_NO_MEMORY;
    }
    pyhost_status status = pyhost_function_call(function, arguments, 0, &value, &error);
    CHECK_EQUAL(value != NULL, status == PYHOST_OK);
    if (status == PYHOST_OK) {
        CHECK_EQUAL(runtime_int(value), 42);
    }
    pyhost_builder_free(arguments);
    return take_error(status, error);
}

static pyhost_status functions_are_called(void)
{
    return add_with(adds);
}

static pyhost_status functions_are_called_directly(void)
{
    return add_with(adds_directly);
}

static void *add_on_a_thread(void *outcome)
{
    *(pyhost_status *)outcome = add_with(adds_directly);
    return NULL;
}

/* Each on a thread that has called nothing yet. */
static pyhost_status threads_call_directly(void)
{
    pthread_t thread;
    pyhost_status outcome;
    if (pthread_create(&thread, NULL, add_on_a_thread, &outcome) != 0) {
        return PYHOST_SYSTEM;
    }
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    return outcome;
}

/* What is raised keeps its status, whatever there is no memory for. */
static pyhost_status exceptions_arrive(void)
{
    pyhost_error *error = NULL;
    pyhost_builder *arguments = pyhost_builder_new();
    if (arguments == NULL) {
        return PYHOST_NO_MEMORY;
    }
    pyhost_builder_str(arguments, "as asked", 8);
    pyhost_status status = pyhost_function_call(fails, arguments, 0, NULL, &error);
    pyhost_builder_free(arguments);
    CHECK_STATUS(pyhost_error_status(error), status);
    bool is_whole = strcmp(pyhost_error_message(error), "arithmetic.fail raised ValueError: as asked") == 0;
    pyhost_error_free(error);
    CHECK(status == PYHOST_RAISED || status == PYHOST_NO_MEMORY || status == PYHOST_UNENCODABLE);
    return is_whole ? PYHOST_OK : PYHOST_NO_MEMORY;
}

static pyhost_status bad_results_are_told(void)
{
    pyhost_error *error = NULL;
    pyhost_status status = pyhost_function_call(sends_nothing, NULL, 0, NULL, &error);
    CHECK_STATUS(pyhost_error_status(error), status);
    bool is_whole = strstr(pyhost_error_message(error), "lambda") != NULL;
    pyhost_error_free(error);
    CHECK(status == PYHOST_BAD_RESULT || status == PYHOST_NO_MEMORY);
    return is_whole ? PYHOST_OK : PYHOST_NO_MEMORY;
}

static pyhost_status calls_are_submitted(void)
{
    pyhost_error *error = NULL;
    pyhost_call *call = NULL;
    pyhost_value *value = NULL;
    pyhost_builder *arguments = two_numbers();
    pyhost_status status = PYHOST_NO_MEMORY;
    if (arguments != NULL) {
        status = pyhost_function_submit(adds, arguments, 0, NULL, NULL, &call, &error);
        status = take_error(status, error);
    }
    if (call != NULL) {
        error = NULL;
        status = pyhost_call_result(call, &value, &error);
        CHECK_EQUAL(value != NULL, status == PYHOST_OK);
        status = take_error(status, error);
    }
    pyhost_value_unref(value);
    pyhost_call_unref(call);
    pyhost_builder_free(arguments);
    return status;
}

/* The error of an answer has its function's name, or at least the last part of it. */
static pyhost_status answers_have_names(void)
{
    pyhost_error *error = NULL;
    pyhost_call *call = NULL;
    pyhost_status status = pyhost_function_submit(adds, NULL, 0, NULL, NULL, &call, &error);
    if (status != PYHOST_OK) {
        return take_error(status, error);
    }
    CHECK(pyhost_call_result(call, NULL, &error) != PYHOST_OK);
    bool is_whole = strstr(pyhost_error_message(error), "arithmetic.add: the arguments do not fit") != NULL &&
                    strstr(pyhost_error_message(error), "left") != NULL;
    pyhost_error_free(error);
    pyhost_call_unref(call);
    return is_whole ? PYHOST_OK : PYHOST_NO_MEMORY;
}

static pyhost_status answers_gather(void)
{
    pyhost_error *error = NULL;
    pyhost_completions *completions = NULL;
    pyhost_status status = pyhost_completions_new(&completions);
    CHECK_EQUAL(completions != NULL, status == PYHOST_OK);
    pyhost_builder *arguments = status == PYHOST_OK ? two_numbers() : NULL;
    if (arguments == NULL) {
        pyhost_completions_free(completions);
        return status == PYHOST_OK ? PYHOST_NO_MEMORY : status;
    }
    status = pyhost_function_submit(adds, arguments, 0, completions, &error, NULL, &error);
    status = take_error(status, error);
    if (status == PYHOST_OK) {
        CHECK_STATUS(pyhost_completions_wait(completions, INT64_MAX), PYHOST_OK);
        pyhost_call *call = pyhost_completions_take(completions);
        CHECK(pyhost_call_token(call) == &error);
        status = pyhost_call_result(call, NULL, &error);
        status = take_error(status, error);
        pyhost_call_unref(call);
    }
    pyhost_builder_free(arguments);
    pyhost_completions_free(completions);
    return status;
}

static atomic_int answers;

static void count_answer(void *context, pyhost_call *call)
{
    pyhost_error *error = NULL;
    CHECK(context == &answers && pyhost_call_is_answered(call));
    pyhost_status status = pyhost_call_result(call, NULL, &error);
    take_error(status, error);
    atomic_store(&answers, status == PYHOST_OK ? 1 : 2);
}

/* Exactly once for a call that was accepted, with arguments or without. */
static pyhost_status answers_call_back(void)
{
    pyhost_error *error = NULL;
    pyhost_builder *arguments = two_numbers();
    pyhost_status status = pyhost_function_submit_callback(adds, arguments, 0, count_answer, &answers, NULL, &error);
    bool has_arguments = arguments != NULL;
    pyhost_builder_free(arguments);
    status = take_error(status, error);
    if (status != PYHOST_OK) {
        return status;
    }
    while (atomic_load(&answers) == 0) {
        sched_yield();
    }
    return atomic_exchange(&answers, 0) == 1 && has_arguments ? PYHOST_OK : PYHOST_NO_MEMORY;
}

static pyhost_status json_is_called(void)
{
    pyhost_error *error = NULL;
    char *text = NULL;
    pyhost_status status =
        pyhost_call_json(runtime, "arithmetic.add", "{\"left\": 40, \"right\": 2}", 0, &text, &error);
    CHECK_EQUAL(text != NULL, status == PYHOST_OK);
    if (text != NULL) {
        CHECK_STRING(text, "42");
    }
    pyhost_text_free(text);
    return take_error(status, error);
}

/* Gives back what it is given. */
static pyhost_status offered(void *context, pyhost_request *request, pyhost_builder *result)
{
    pyhost_value *value = NULL;
    pyhost_reader reader = pyhost_request_arguments(request);
    pyhost_status status = pyhost_reader_value(&reader, &value);
    (void)context;
    if (status == PYHOST_OK) {
        pyhost_builder_value(result, value);
        pyhost_value_unref(value);
    }
    return status;
}

static pyhost_status offered_functions_are_asked(void)
{
    pyhost_error *error = NULL;
    pyhost_value *value = NULL;
    pyhost_builder *arguments = pyhost_builder_new();
    if (arguments == NULL) {
        return PYHOST_NO_MEMORY;
    }
    pyhost_builder_str(arguments, "offered", 7);
    pyhost_builder_int(arguments, 42);
    pyhost_status status = pyhost_function_call(asks, arguments, 0, &value, &error);
    if (status == PYHOST_OK) {
        CHECK_EQUAL(runtime_int(value), 42);
    }
    pyhost_builder_free(arguments);
    return take_error(status, error);
}

static pyhost_status plugins_are_listed(void)
{
    pyhost_error *error = NULL;
    char **names = NULL;
    size_t count = 0;
    pyhost_status status = pyhost_plugin_list(runtime, &names, &count, &error);
    CHECK_EQUAL(count, status == PYHOST_OK ? 2 : 0);
    pyhost_names_free(names, count);
    return take_error(status, error);
}

static pyhost_status plugins_are_read(void)
{
    pyhost_error *error = NULL;
    pyhost_plugin_info info = {.size = sizeof info};
    pyhost_plugin_account account = {.size = sizeof account};
    pyhost_status status = pyhost_plugin_read(runtime, "arithmetic", &info, &error);
    if (status == PYHOST_OK) {
        CHECK_STRING(info.version, "1.2");
    }
    CHECK_EQUAL(info.state != NULL, status == PYHOST_OK);
    pyhost_plugin_info_clear(&info);
    CHECK_STATUS(pyhost_plugin_account_read(runtime, "arithmetic", &account), PYHOST_OK);
    CHECK_EQUAL(account.interpreters, 2);
    return take_error(status, error);
}

/* What has not come up, or not gone, does the next time. */
static pyhost_status plugins_come_and_go(void)
{
    pyhost_error *error = NULL;
    char path[4096];
    snprintf(path, sizeof path, "%s/../more/doubler.py", getenv("PYHOST_TEST_PLUGINS"));
    pyhost_status status = pyhost_plugin_load(runtime, path, &error);
    status = take_error(status, error);
    if (status == PYHOST_OK) {
        error = NULL;
        status = pyhost_plugin_unload(runtime, "doubler", &error);
        status = take_error(status, error);
    }
    return status;
}

static const shortage_scenario scenarios[] = {
    SHORTAGE_SCENARIO(answers_call_back, NO_MEMORY, SYSTEM, SOME),
    SHORTAGE_SCENARIO(handles_are_made, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(functions_are_called, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(functions_are_called_directly, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(threads_call_directly, NO_MEMORY, SYSTEM, REGIONS),
    SHORTAGE_SCENARIO(exceptions_arrive, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(bad_results_are_told, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(calls_are_submitted, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(answers_have_names, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(answers_gather, NO_MEMORY, SYSTEM, REGIONS),
    SHORTAGE_SCENARIO(json_is_called, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(offered_functions_are_asked, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(plugins_are_listed, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(plugins_are_read, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(plugins_come_and_go, NO_MEMORY | SYSTEM | OK, SYSTEM | OK, SOME),
};

int main(int argc, char **argv)
{
    pyhost_error *error = NULL;
    runtime_begin();
    RUNTIME_CHECK(pyhost_plugin_stop(runtime, "broken", &error)); /* or it tries to start meanwhile */
    CHECK_STATUS(pyhost_host_register("offered", offered, NULL), PYHOST_OK);
    pyhost_function **const functions[] = {&adds, &adds_directly, &fails, &sends_nothing, &asks};
    static const char *const names[] = {"arithmetic.add", "arithmetic.add_directly", "arithmetic.fail",
                                        "arithmetic.unsendable", "arithmetic.ask"};
    for (size_t i = 0; i < CHECK_COUNT(names); i++) {
        *functions[i] = runtime_function(names[i]);
    }
    int code = shortage_main(scenarios, CHECK_COUNT(scenarios), argc, argv);
    for (size_t i = 0; i < CHECK_COUNT(names); i++) {
        pyhost_function_unref(*functions[i]);
    }
    return runtime_end(code);
}
