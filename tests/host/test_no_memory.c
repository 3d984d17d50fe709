/* Tests of what pyhost's C code does without memory, threads or descriptors: every allocation fails once, what failed
 * says so, nothing is lost, and the next time works. Calls by the interface for programs are in test_no_memory_api.c,
 * its start and end in test_no_memory_start.c. How a scenario is added stands in shortage.h. */
#include "shortage.h"

#include <poll.h>

#include "api_host.h"
#include "codec_format.h"
#include "cpu.h"
#include "direct.h"
#include "handle.h"
#include "lines.h"
#include "plugins.h"
#include "region.h"

enum { MANY = 20, BUFFERS = 5, DEEP = 20 };

#define NO_MEMORY SHORTAGE_OUTCOME(NO_MEMORY)
#define SYSTEM SHORTAGE_OUTCOME(SYSTEM)
#define OK SHORTAGE_OUTCOME(OK)

/* ---- Without Python ---------------------------------------------------------------------------------------------- */

static size_t given, released; /* buffers */

static void count_release(void *context, void *data)
{
    CHECK(context == &released && data == &released);
    released++;
}

static pyhost_status messages_are_written(void)
{
    char block[1000] = "";
    pyh_writer writer = {0};
    pyh_message *message = NULL;
    released = 0;
    for (size_t i = 0; i < BUFFERS; i++) {
        pyh_writer_varint(&writer, i);
        pyh_writer_bytes(&writer, block, sizeof block);
        pyh_writer_buffer(&writer, block, sizeof block);
        pyh_writer_share(&writer, (pyh_buffer){&released, sizeof released, count_release, &released});
    }
    pyhost_status status = pyh_writer_finish(&writer, &message);
    CHECK_EQUAL(message != NULL, status == PYHOST_OK);
    CHECK(writer.message == NULL && writer.status == PYHOST_OK);
    if (message != NULL) {
        CHECK_EQUAL(message->buffer_count, 2 * BUFFERS);
        CHECK_EQUAL(released, 0);
        pyh_message_unref(message);
    }
    CHECK_EQUAL(released, BUFFERS);
    return status;
}

static const pyhost_datetime moment = {{2024, 2, 29}, {23, 59, 59, 0, 999999, PYHOST_ZONE_FIXED, -1}};

static pyhost_status add_uint(pyhost_builder *builder)
{
    return pyhost_builder_uint(builder, UINT64_MAX);
}

static pyhost_status add_float(pyhost_builder *builder)
{
    return pyhost_builder_float(builder, 1.5);
}

static pyhost_status add_text(pyhost_builder *builder)
{
    pyhost_builder_str(builder, "text", 4);
    pyhost_builder_bytes(builder, "bytes", 5);
    return pyhost_builder_bytearray(builder, "bytes", 5);
}

static pyhost_status add_time(pyhost_builder *builder)
{
    pyhost_builder_date(builder, &moment.date);
    return pyhost_builder_time(builder, &moment.time);
}

static pyhost_status add_datetime(pyhost_builder *builder)
{
    return pyhost_builder_datetime(builder, &moment);
}

static pyhost_status add_timedelta(pyhost_builder *builder)
{
    pyhost_timedelta distance = {-1, 86399, 999999};
    pyhost_builder_timezone(builder, 3600000000);
    return pyhost_builder_timedelta(builder, &distance);
}

static pyhost_status add_buffer(pyhost_builder *builder)
{
    static const size_t shape[] = {2, 2};
    given++;
    return pyhost_builder_buffer(builder, &released, sizeof released, 'h', shape, 2, count_release, &released);
}

/* A container in a container, and so on. */
static pyhost_status add_nested(pyhost_builder *builder)
{
    static const pyhost_kind kinds[] = {PYHOST_KIND_LIST, PYHOST_KIND_TUPLE, PYHOST_KIND_SET, PYHOST_KIND_FROZENSET};
    pyhost_builder_open(builder, PYHOST_KIND_DICT);
    pyhost_builder_none(builder);
    for (size_t i = 0; i < DEEP; i++) {
        pyhost_builder_open(builder, kinds[i % CHECK_COUNT(kinds)]);
        pyhost_builder_bool(builder, true);
    }
    for (size_t i = 0; i < DEEP; i++) {
        pyhost_builder_close(builder);
    }
    return pyhost_builder_close(builder);
}

static pyhost_status (*const adders[])(pyhost_builder *) = {
    add_uint, add_float, add_text, add_time, add_datetime, add_timedelta, add_buffer, add_nested,
};

/* Builds a list of so many bytes, so that what comes then needs more room somewhere in its middle, and of that; NULL:
 * not at all. */
static pyhost_status build(size_t padding, pyhost_status (*add)(pyhost_builder *), pyhost_value **value)
{
    static const char bytes[1024];
    pyhost_builder *builder = pyhost_builder_new();
    if (builder == NULL) {
        return PYHOST_NO_MEMORY;
    }
    pyhost_builder_open(builder, PYHOST_KIND_LIST);
    pyhost_builder_bytes(builder, bytes, padding);
    pyhost_status added = add(builder);
    pyhost_status next = pyhost_builder_none(builder);
    pyhost_builder_close(builder);
    pyhost_status status = pyhost_builder_finish(builder, value);
    CHECK(next == PYHOST_OK || status == next);
    CHECK(added == PYHOST_OK || next == added); /* the first failure sticks */
    pyhost_builder_free(builder);
    return status;
}

static pyhost_status values_of_every_kind_are_built(void)
{
    pyhost_status status = PYHOST_OK;
    for (size_t i = 0; i < CHECK_COUNT(adders) && status == PYHOST_OK; i++) {
        for (size_t padding = 140; padding < 180 && status == PYHOST_OK; padding += 3) {
            pyhost_value *value = NULL;
            given = released = 0;
            status = build(padding, adders[i], &value);
            CHECK_EQUAL(value != NULL, status == PYHOST_OK);
            CHECK_EQUAL(released, value != NULL ? 0 : given);
            pyhost_value_unref(value);
            CHECK_EQUAL(released, given);
        }
    }
    return status;
}

static pyhost_value *two_buffers;

static pyhost_status add_two_buffers(pyhost_builder *builder)
{
    add_buffer(builder);
    return add_buffer(builder);
}

static pyhost_status values_are_copied(void)
{
    pyhost_value *copy = NULL, *whole = NULL;
    pyhost_reader reader = pyhost_reader_make(two_buffers), inner;
    CHECK_STATUS(pyhost_reader_enter(&reader, &inner), PYHOST_OK);
    CHECK_STATUS(pyhost_reader_skip(&inner), PYHOST_OK);
    pyhost_reader before = inner;
    pyhost_status status = pyhost_reader_value(&inner, &copy);
    CHECK(status == PYHOST_OK || (copy == NULL && memcmp(&inner, &before, sizeof inner) == 0));
    if (status == PYHOST_OK) {
        status = pyhost_reader_value(&reader, &whole);
    }
    pyhost_value_unref(copy);
    pyhost_value_unref(whole);
    CHECK_EQUAL(pyh_message_of(two_buffers)->references, 1);
    return status;
}

static pyhost_status builders_are_used_again(void)
{
    pyhost_value *value = NULL;
    pyhost_builder *builder = pyhost_builder_new();
    pyhost_status status = builder != NULL ? PYHOST_OK : PYHOST_NO_MEMORY;
    pyh_message *request = NULL;
    if (status == PYHOST_OK) {
        pyhost_builder_value(builder, two_buffers);
        pyhost_builder_keyword(builder, "name");
        pyhost_builder_value(builder, two_buffers);
        status = pyh_builder_take_arguments(builder, &request);
        CHECK(pyh_builder_is_empty(builder));
        pyhost_builder_none(builder);
        pyhost_status second = pyhost_builder_finish(builder, &value);
        CHECK(pyh_builder_is_empty(builder));
        status = status == PYHOST_OK ? second : status;
    }
    pyh_message_unref(request);
    pyhost_value_unref(value);
    pyhost_builder_free(builder);
    return status;
}

static pyhost_status no_arguments_are_taken(void)
{
    pyh_message *request = NULL;
    pyhost_status status = pyh_builder_take_arguments(NULL, &request);
    CHECK_EQUAL(request != NULL, status == PYHOST_OK);
    pyh_message_unref(request);
    return status;
}

/* A channel with its descriptor, and a value that holds it. */
static pyhost_status channels_of_values_are_made(void)
{
    pyhost_channel *channel = NULL;
    pyhost_value *value = NULL;
    int fd = -1;
    pyhost_status status = pyhost_channel_new(2, &channel);
    if (status != PYHOST_OK) {
        CHECK(channel == NULL);
        return status;
    }
    status = pyhost_channel_fd(channel, &fd);
    CHECK((fd >= 0) == (status == PYHOST_OK));
    pyhost_builder *builder = status == PYHOST_OK ? pyhost_builder_new() : NULL;
    if (builder != NULL) {
        pyhost_builder_channel(builder, channel);
        status = pyhost_builder_finish(builder, &value);
        CHECK((value != NULL) == (status == PYHOST_OK));
    } else if (status == PYHOST_OK) {
        status = PYHOST_NO_MEMORY;
    }
    pyhost_value_unref(value);
    pyhost_builder_free(builder);
    CHECK_EQUAL(pyh_channel_of(channel)->references, 1);
    pyhost_channel_unref(channel);
    return status;
}

/* To a function that is called directly, whose interpreter counts for itself. */
static pyhost_status handles_are_made(void)
{
    static char name[] = "f";
    static const pyh_function functions[] = {{.name = name, .direct = true, .deadline_ns = PYH_NEVER}};
    pyh_handle handle = {0};
    pyh_router *router = pyh_router_new();
    pyh_interp *interp = router != NULL ? pyh_interp_new(router) : NULL;
    pyh_route *route = interp != NULL ? pyh_route_new("p", &interp, 1, functions, 1, NULL) : NULL;
    pyhost_status status = route != NULL ? pyh_router_publish(router, route) : PYHOST_NO_MEMORY;
    if (status == PYHOST_OK) {
        status = pyh_handle_init(&handle, router, "p.f");
    }
    if (status == PYHOST_OK) {
        CHECK(pyh_route_find(route, handle.function)->shares[0]->is_taken);
    }
    pyh_handle_deinit(&handle);
    if (router != NULL) {
        pyh_router_withdraw(router, "p"); /* a route keeps its interpreter, which keeps the router */
    }
    pyh_interp_unref(interp);
    pyh_router_unref(router);
    return status;
}

static pyhost_status channels_are_made_and_resized(void)
{
    pyh_channel channel = {0};
    void *item = &channel, *items[] = {item, item};
    size_t sent;
    pyhost_status status = pyh_channel_init(&channel, 1);
    if (status == PYHOST_OK) {
        status = pyh_channel_resize(&channel, 2);
        CHECK_EQUAL(channel.capacity, status == PYHOST_OK ? 2 : 1);
        pyh_channel_send(&channel, items, 2, &sent);
        CHECK_EQUAL(sent, channel.capacity);
        CHECK_STATUS(pyh_channel_receive(&channel, 0, &item), PYHOST_OK);
    }
    pyh_channel_deinit(&channel);
    return status;
}

static pyhost_status routes_are_published(void)
{
    pyhost_status status = PYHOST_OK;
    uint64_t version;
    pyh_router *router = pyh_router_new();
    for (size_t i = 0; router != NULL && i < MANY && status == PYHOST_OK; i++) {
        const char plugin[] = {(char)('a' + i), '\0'};
        pyh_route *route = pyh_route_new(plugin, NULL, 0, (pyh_function[]){{.name = "one"}, {.name = "two"}}, 2, NULL);
        status = route != NULL ? pyh_router_publish(router, route) : PYHOST_NO_MEMORY;
        route = pyh_router_find(router, plugin, &version);
        CHECK_EQUAL(route != NULL, status == PYHOST_OK);
        CHECK(route == NULL || pyh_route_find(route, "two") != NULL);
        pyh_route_unref(route);
        route = pyh_router_find(router, "a", &version);
        CHECK(i == 0 || route != NULL); /* what was published before is there */
        pyh_route_unref(route);
    }
    pyh_router_unref(router);
    return router != NULL ? status : PYHOST_NO_MEMORY;
}

/* Its functions count on with the old one's. */
static pyhost_status routes_are_replaced(void)
{
    static const pyh_function functions[] = {{.name = "one"}, {.name = "three"}};
    pyhost_status status = PYHOST_NO_MEMORY;
    uint64_t version;
    pyh_router *router = pyh_router_new();
    pyh_interp *interp = router != NULL ? pyh_interp_new(router) : NULL;
    pyh_route *old = interp != NULL ? pyh_route_new("plugin", &interp, 1, functions, 1, NULL) : NULL;
    pyh_route *new = old != NULL ? pyh_route_new("plugin", &interp, 1, functions, 2, old) : NULL;
    if (new != NULL && pyh_router_publish(router, pyh_route_ref(old)) == PYHOST_OK) {
        status = pyh_router_publish(router, pyh_route_ref(new));
        CHECK_STATUS(status, PYHOST_OK); /* a replacement needs no room */
        pyh_route *found = pyh_router_find(router, "plugin", &version);
        CHECK(found == new && found->functions[0].stats == old->functions[0].stats);
        pyh_route_unref(found);
    }
    if (router != NULL) {
        pyh_router_withdraw(router, "plugin");
    }
    pyh_route_unref(new);
    pyh_route_unref(old);
    pyh_interp_unref(interp);
    pyh_router_unref(router);
    return status;
}

static pyh_route *shared_route;

static pyhost_status calls_gather_in_completions(void)
{
    pyh_completions *completions = NULL;
    pyhost_status status = pyh_completions_new(&completions);
    pyh_writer writer = {0};
    pyh_message *request = NULL;
    pyh_writer_byte(&writer, 0);
    pyhost_status written = pyh_writer_finish(&writer, &request);
    pyh_call *call = written == PYHOST_OK ? pyh_call_new(shared_route, shared_route->functions, request) : NULL;
    if (status == PYHOST_OK && call != NULL) {
        call->completions = pyh_completions_ref(completions);
        pyh_call_arm(call, pyh_deadline_after((int64_t)60 * 60 * 1000 * 1000 * 1000));
        CHECK(pyh_call_answer(call, PYHOST_RAISED, NULL));
        CHECK(pyh_completions_drain(completions) == call);
        CHECK_EQUAL(call->references, 2);
        pyh_call_unref(call);
    }
    status = status == PYHOST_OK && call == NULL ? PYHOST_NO_MEMORY : status;
    pyh_call_unref(call);
    pyh_completions_unref(completions);
    CHECK_EQUAL(shared_route->references, 1);
    return status;
}

/* Takes the only record, and says whether there was one. */
static bool take_record(pyh_log *log)
{
    pyh_log_record *record = NULL;
    pyhost_status status = pyh_log_take(log, 0, 1, &record);
    if (status == PYHOST_OK) {
        pyh_log_record_free(record);
    }
    return status == PYHOST_OK;
}

static const pyh_log_entry a_record = {.logger = "logger", .logger_size = 6, .text = "text", .text_size = 4};

static pyhost_status logs_take_records(void)
{
    const char *plugin, *version;
    pyh_log *log = pyh_log_new();
    pyh_log_source *source = log != NULL ? pyh_log_source_new(log, 1) : NULL;
    pyhost_status status = source != NULL ? pyh_log_source_name(source, "plugin", "1") : PYHOST_NO_MEMORY;
    if (source != NULL) {
        pyh_log_source_names(source, &plugin, &version);
        CHECK_STRING(plugin, status == PYHOST_OK ? "plugin" : "");
        CHECK_STRING(version, status == PYHOST_OK ? "1" : "");
        pyh_log_open(log, 20);
        pyh_log_add(source, &a_record);
        status = take_record(log) ? status : PYHOST_NO_MEMORY;
        CHECK_EQUAL(source->waiting_bytes, 0);
    }
    pyh_log_source_unref(source);
    pyh_log_unref(log);
    return status;
}

/* One that is lost is counted on the one before it. */
static pyhost_status lost_records_are_counted(void)
{
    pyh_log_record *record = NULL;
    pyh_log *log = pyh_log_new();
    pyh_log_source *source = log != NULL ? pyh_log_source_new(log, 1) : NULL;
    pyhost_status status = PYHOST_NO_MEMORY;
    if (source != NULL) {
        pyh_log_open(log, 20);
        for (size_t i = 0; i < MANY; i++) {
            pyh_log_add(source, &a_record);
        }
        size_t taken = 0, lost = 0;
        while (pyh_log_take(log, 0, 1, &record) == PYHOST_OK) {
            taken++;
            lost += record->lost;
            pyh_log_record_free(record);
        }
        status = taken == MANY ? PYHOST_OK : PYHOST_NO_MEMORY;
        CHECK(taken + lost == MANY || shortage.first <= 3); /* nothing stands before the first */
    }
    pyh_log_source_unref(source);
    pyh_log_unref(log);
    return status;
}

static pyh_log_source *printed_by;

static void *print_and_end(void *unused)
{
    static const char block[2000];
    pyh_lines_write(printed_by, 1, PYH_STDOUT, "first\n", 6);
    pyh_lines_write(printed_by, 1, PYH_STDERR, block, sizeof block);
    pyh_lines_write(printed_by, 1, PYH_STDOUT, "the rest", 8);
    return unused;
}

/* What cannot be kept is left out, and the end of the thread ends its lines in any case. */
static pyhost_status lines_are_printed(void)
{
    pthread_t thread;
    pyh_log_record *record = NULL;
    size_t records = 0, bytes = 0;
    pyhost_status status = pyh_thread_start(&thread, "printer", print_and_end, NULL);
    if (status != PYHOST_OK) {
        return status;
    }
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    while (pyh_log_take(printed_by->log, 0, 1, &record) == PYHOST_OK) {
        records += 1 + record->lost;
        bytes += record->text_size;
        CHECK(record->lost > 0 || record->text_size + record->left_out >= 5);
        pyh_log_record_free(record);
    }
    CHECK_EQUAL(printed_by->references, 1);
    CHECK(records <= 3);
    return records == 3 && bytes == 5 + 2000 + 8 ? PYHOST_OK : PYHOST_NO_MEMORY;
}

static pyh_account *accounts[MANY * 4];

/* The first run has no room in the table; the host is charged for an account that has no place there. */
static pyhost_status accounts_are_opened(void)
{
    pyhost_status status = PYHOST_OK;
    pyh_this_thread.visits++; /* it belongs to none of them */
    for (size_t i = 0; i < CHECK_COUNT(accounts); i++) {
        PyInterpreterState *python = (PyInterpreterState *)((1 + i) << 12);
        pyh_account_open(accounts[i], python);
        pyh_account *payer = pyh_account_look_up(python);
        CHECK(payer == accounts[i] || payer == pyh_account_host());
        status = payer == accounts[i] ? status : PYHOST_NO_MEMORY;
    }
    for (size_t i = 0; i < CHECK_COUNT(accounts); i++) {
        pyh_account_close(accounts[i]);
        CHECK_EQUAL(accounts[i]->references, 1);
    }
    pyh_this_thread.visits--;
    return status;
}

static void *join_account(void *account)
{
    pyh_cpu_join(account);
    return pyh_this_thread.home == account ? account : NULL;
}

static pyhost_status threads_join_accounts(void)
{
    pthread_t thread;
    void *joined = NULL;
    pyh_account *account = pyh_account_new();
    if (account == NULL) {
        return PYHOST_NO_MEMORY;
    }
    pyhost_status status = pyh_thread_start(&thread, "joins", join_account, account);
    if (status == PYHOST_OK) {
        CHECK_EQUAL(pthread_join(thread, &joined), 0);
        CHECK(account->threads == NULL);
        status = joined != NULL ? PYHOST_OK : PYHOST_NO_MEMORY;
    }
    CHECK_EQUAL(account->references, 1);
    pyh_account_unref(account);
    return status;
}

static pyhost_status regions_are_mapped(void)
{
    int64_t all_bytes;
    pyh_account *account = pyh_account_new();
    void *region = account != NULL ? pyh_region_map((pyh_payer){account, NULL}, 1 << 16) : NULL;
    if (region != NULL) {
        CHECK(pyh_region_measure(account, &all_bytes) <= 1 << 16); /* without memory: all of it */
        CHECK_EQUAL(all_bytes, 1 << 16);
        CHECK_EQUAL(pyh_region_unmap(region), 1 << 16);
    }
    CHECK(account == NULL || pyh_account_bytes(account) == 0);
    pyh_account_unref(account);
    return region != NULL ? PYHOST_OK : PYHOST_NO_MEMORY;
}

static atomic_size_t fired;

static void count_fire(pyh_timer *timer)
{
    (void)timer;
    fired++;
}

/* Arming never fails. */
static pyhost_status timers_are_armed(void)
{
    pyh_timer timers[MANY * 5] = {0};
    fired = 0;
    for (size_t i = 0; i < CHECK_COUNT(timers); i++) {
        timers[i].fire = count_fire;
        CHECK(pyh_watchdog_arm(&timers[i], i % 2 == 0 ? PYH_NEVER - 1 : 0));
    }
    for (size_t i = 0; i < CHECK_COUNT(timers); i += 2) {
        CHECK(pyh_watchdog_disarm(&timers[i]));
    }
    while (fired < CHECK_COUNT(timers) / 2) {
        sched_yield();
    }
    return PYHOST_OK;
}

/* An error keeps its status, whatever there is no memory for. */
static pyhost_status errors_are_said(void)
{
    pyhost_error *error = NULL;
    CHECK_STATUS(pyh_error_say(&error, PYHOST_NOT_LOADED, "about %s", "this"), PYHOST_NOT_LOADED);
    bool is_whole = strcmp(pyhost_error_message(error), "about this") == 0;
    CHECK_STATUS(pyhost_error_status(error), PYHOST_NOT_LOADED);
    pyhost_error_free(error);
    error = NULL;
    CHECK_STATUS(pyh_error_of_call(&error, PYHOST_TIMEOUT, NULL, "a.b"), PYHOST_TIMEOUT);
    CHECK_STATUS(pyhost_error_status(error), PYHOST_TIMEOUT);
    is_whole = is_whole && strcmp(pyhost_error_message(error), "a.b: no answer by the deadline") == 0;
    CHECK(strstr(pyhost_error_message(error), "no answer by the deadline") != NULL);
    pyhost_error_free(error);
    return is_whole ? PYHOST_OK : PYHOST_NO_MEMORY;
}

static pyhost_status offered(void *context, pyhost_request *request, pyhost_builder *result)
{
    (void)context;
    pyhost_builder_int(result, 1);
    return pyhost_request_fail(request, "as asked");
}

/* An own name each time, so that there is an entry to make. */
static pyhost_status functions_are_offered(void)
{
    static unsigned number;
    char name[32];
    snprintf(name, sizeof name, "offered_%u", number++);
    return pyhost_host_register(name, offered, NULL);
}

static pyhost_status with_result(void *context, pyhost_request *request, pyhost_builder *result)
{
    (void)context;
    (void)request;
    pyhost_builder_value(result, two_buffers);
    return PYHOST_OK;
}

static pyh_message *no_arguments;

/* Calls it as a plugin does. */
static pyhost_status offered_functions_are_called(void)
{
    pyh_message *reply = NULL;
    char *text = NULL;
    pyhost_status status = pyh_host_call("gives", no_arguments, &reply, &text);
    CHECK(text == NULL && (reply != NULL) == (status == PYHOST_OK));
    pyh_message_unref(reply);
    if (status == PYHOST_OK) {
        status = pyh_host_call("fails", no_arguments, &reply, &text);
        bool is_whole = status == PYHOST_RAISED && text != NULL;
        CHECK(status == PYHOST_RAISED || status == PYHOST_NO_MEMORY);
        status = is_whole ? PYHOST_OK : PYHOST_NO_MEMORY;
        free(text);
    }
    return status;
}

static pyhost_status interpreters_are_made(void)
{
    pyh_router *router = pyh_router_new();
    pyh_interp *interp = router != NULL ? pyh_interp_new(router) : NULL;
    pyhost_status status = interp != NULL ? PYHOST_OK : PYHOST_NO_MEMORY;
    if (status == PYHOST_OK) {
        pyh_assignment assignment = {.name = "name", .inbox_capacity = 3, .boot = pyh_message_ref(no_arguments)};
        status = pyh_interp_start(interp, &assignment);
        CHECK(interp->inbox.capacity == 3 || (status != PYHOST_OK && interp->inbox.capacity == 1));
        CHECK_EQUAL(pyh_event_is_set(&interp->assigned), status == PYHOST_OK);
    }
    pyh_interp_unref(interp);
    pyh_router_unref(router);
    CHECK_EQUAL(no_arguments->references, 1);
    return status;
}

/* ---- With Python ------------------------------------------------------------------------------------------------- */

static plugins running; /* one interpreter of plugin.py */

/* The outcome that the exception which is set stands for. It says what there was not enough of, but where there is no
 * memory to say what a plugin has raised. */
static pyhost_status take_exception(void)
{
    PyObject *raised = PyErr_GetRaisedException();
    CHECK(raised != NULL);
    bool is_system = PyErr_GivenExceptionMatches(raised, PyExc_OSError);
    PyObject *words = PyObject_Repr(raised);
    const char *text = PyUnicode_AsUTF8(words);
    if (!is_system && strcasestr(text, "memory") == NULL && strstr(text, "fail raised an exception") == NULL) {
        check_failed(__FILE__, __LINE__, "the exception is %s", text);
    }
    Py_DECREF(words);
    Py_DECREF(raised);
    return is_system ? PYHOST_SYSTEM : PYHOST_NO_MEMORY;
}

/* clang-format off */
static const char *const expressions[] = {
    "None", "True", "12", "2**64", "-2**127", "1.5", "'ascii' * 40", "'\\u4e2d' * 40", "b'bytes' * 40",
    "bytearray(b'bytes')", "[]", "()", "{}", "set()", "frozenset()", "[1, [2, (3, {4: {5}})]] * 20", "{'a': b'b'}",
    "datetime.date.min", "datetime.time.max", "datetime.datetime.max", "datetime.timedelta.min",
    "datetime.timezone.utc",
    "datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))", "memoryview(b'abc')",
    "memoryview(bytes(12)).cast('H', (2, 3))", "memoryview(b'abcd')[::2]", "range(3)", "1 + 2j",
    "pickle.PickleBuffer(b'beside')", "[memoryview(b'1'), pickle.PickleBuffer(bytearray(b'2'))]",
};
/* clang-format on */

static pyh_codec codec;
static PyObject *values[CHECK_COUNT(expressions)];

static pyhost_status cross(PyObject *value)
{
    pyh_message *message = NULL;
    PyObject *decoded = NULL;
    if (pyh_codec_encode_message(&codec, value, &message) != PYHOST_OK) {
        CHECK(message == NULL);
        return take_exception();
    }
    pyhost_status status = pyh_codec_decode_message(&codec, message, &decoded);
    if (status != PYHOST_OK) {
        status = take_exception();
    }
    pyh_message_unref(message);
    Py_XDECREF(decoded);
    return status;
}

static pyhost_status values_cross(void)
{
    pyhost_status status = PYHOST_OK;
    plugins_attach();
    for (size_t i = 0; i < CHECK_COUNT(values) && status == PYHOST_OK; i++) {
        status = cross(values[i]);
    }
    plugins_detach();
    return status;
}

static pyhost_status arguments_cross(void)
{
    pyh_writer writer = {0};
    pyh_message *request = NULL;
    pyh_arguments arguments;
    size_t failed;
    pyhost_status status = PYHOST_OK;
    plugins_attach();
    if (pyh_codec_encode_arguments(&codec, &writer, values, PYH_ARGUMENTS_INLINE + 1, NULL, &failed) != PYHOST_OK) {
        pyh_writer_discard(&writer);
        status = take_exception();
    } else if (pyh_writer_finish(&writer, &request) != PYHOST_OK) {
        status = PYHOST_NO_MEMORY;
    } else if (pyh_codec_decode_arguments(&codec, request, &arguments) != PYHOST_OK) {
        status = take_exception();
    } else {
        CHECK_EQUAL(arguments.total, PYH_ARGUMENTS_INLINE + 1);
        pyh_arguments_clear(&arguments);
    }
    pyh_message_unref(request);
    plugins_detach();
    return status;
}

static const char door[] =
    "import datetime, gc, pickle\n"
    "gc.disable()\n" /* what is held is counted */
    "from pyhost import _core\n"
    "def call():\n"
    "    assert add(1, 2) == 3\n"
    "def call_without_arguments():\n"
    "    assert count() > 0\n"
    "def call_with_keywords():\n"
    "    assert add.call((1,), {'right': 2}, 60.0) == 3\n"
    "def call_directly():\n"
    "    assert add_directly(1, 2) == 3\n"
    "def call_and_fail():\n"
    "    try:\n"
    "        fail()\n"
    "    except Exception as error:\n"
    "        if 'as asked' not in str(error):\n"
    "            raise\n"
    "    else:\n"
    "        raise AssertionError\n"
    "def submit():\n"
    "    completions = _core.Completions()\n"
    "    call = add.submit(completions, 'future', (1, 2), {}, 60.0)\n"
    "    completions.wait()\n"
    "    [(future, value, error)] = completions.drain()\n"
    "    assert future == 'future' and call.answered\n"
    "    try:\n"
    "        if error is not None:\n"
    "            raise error\n"
    "    finally:\n"
    "        del error\n" /* its traceback has this frame, which would have it */
    "    assert value == 3\n"
    "def map_over_many():\n"
    "    assert list(insist.map([1] * 30)) == [1] * 30\n"
    "def publish():\n"
    "    router = _core.Router()\n"
    "    try:\n"
    "        router.publish('plugin', (_core.Interpreter(router),), (('one', False, 1.0), ('two', True, 1.0)))\n"
    "        router.publish('plugin', (), (('one', False, 1.0),), True)\n"
    "        assert router.function('plugin.one').name == 'plugin.one'\n"
    "        assert len(router.statistics('plugin')) == 1\n"
    "    finally:\n"
    "        router.withdraw('plugin')\n" /* its interpreter has the router */
    "def start_none():\n"
    "    interpreter = _core.Interpreter(_core.Router())\n"
    "    interpreter.start('name', {}, inbox=3, memory=None, start_limit=1.0, stop_limit=1.0, grace=1.0)\n"
    "def keep_code():\n"
    "    global kept\n"
    "    kept += 1\n"
    "    _core.keep_code(f'kept {kept}', b'code')\n"
    "    assert _core.kept_code(f'kept {kept}') == b'code'\n"
    "kept = 0\n";

/* Runs the function of the door's. */
static pyhost_status run_python(const char *name)
{
    plugins_attach();
    PyObject *function = embed_eval(name);
    PyObject *none = PyObject_CallNoArgs(function);
    pyhost_status status = none != NULL ? PYHOST_OK : take_exception();
    Py_XDECREF(none);
    Py_DECREF(function);
    plugins_detach();
    return status;
}

#define PYTHON_SCENARIO(name)                                                                                          \
    static pyhost_status name(void)                                                                                    \
    {                                                                                                                  \
        return run_python(#name);                                                                                      \
    }
PYTHON_SCENARIO(call)
PYTHON_SCENARIO(call_without_arguments)
PYTHON_SCENARIO(call_with_keywords)
PYTHON_SCENARIO(call_directly)
PYTHON_SCENARIO(call_and_fail)
PYTHON_SCENARIO(submit)
PYTHON_SCENARIO(map_over_many)
PYTHON_SCENARIO(publish)
PYTHON_SCENARIO(start_none)
PYTHON_SCENARIO(keep_code)
#undef PYTHON_SCENARIO

static pyh_message *adds; /* a request of 1 and 2 */

static void *call_on_a_thread(void *outcome)
{
    pyh_message *reply = NULL;
    pyhost_status status = plugins_visit(running.interps[0], &running.route->functions[PLUGIN_ADD], PLUGIN_ADD, adds,
                                         PYH_NEVER, &reply);
    CHECK(reply != NULL || status != PYHOST_OK);
    pyh_message_unref(reply);
    *(pyhost_status *)outcome = status;
    return NULL;
}

/* Each on a thread that has not been there. */
static pyhost_status threads_visit(void)
{
    pthread_t thread;
    const struct pyh_direct *before = running.interps[0]->direct;
    pyhost_status outcome, status = pyh_thread_start(&thread, "visitor", call_on_a_thread, &outcome);
    if (status == PYHOST_OK) {
        CHECK_EQUAL(pthread_join(thread, NULL), 0);
        status = outcome == PYHOST_BAD_RESULT ? PYHOST_NO_MEMORY : outcome;
    }
    CHECK_EQUAL(pyh_interp_running(running.interps[0]), 0);
    CHECK(running.interps[0]->direct == before);
    return status;
}

static int ends[2]; /* of a pipe */

/* What was written for a call that never ran, as its deadline passed in the queue, is not for the next one. */
static void drain(void)
{
    struct pollfd poll_of = {.fd = ends[0], .events = POLLIN};
    char byte;
    while (poll(&poll_of, 1, 0) == 1) {
        CHECK_EQUAL(read(ends[0], &byte, 1), 1);
    }
}

/* A call whose deadline passes while it is in C: that it is interrupted takes neither memory nor a thread. */
static pyhost_status late_calls_are_answered(void)
{
    pyh_writer writer = {0};
    pyh_message *request = NULL;
    pyh_writer_varint(&writer, 1);
    pyh_writer_varint(&writer, 0);
    pyh_writer_byte(&writer, PYH_TAG_INT);
    pyh_writer_varint(&writer, (uint64_t)ends[0] << 1);
    pyhost_status status = pyh_writer_finish(&writer, &request);
    pyh_function *function = &running.route->functions[PLUGIN_READ];
    pyh_call *call = status == PYHOST_OK ? pyh_call_new(running.route, function, request) : NULL;
    if (call != NULL) {
        pyh_timer after = {.fire = count_fire};
        fired = 0;
        call->deadline_ns = pyh_deadline_after(5 * 1000 * 1000);
        CHECK_STATUS(pyh_interp_submit(running.interps[0], call), PYHOST_OK);
        CHECK_STATUS(pyh_call_wait(call), PYHOST_OK);
        CHECK_STATUS(call->status, PYHOST_TIMEOUT);
        pyh_watchdog_arm(&after, call->deadline_ns + 1);
        while (fired == 0) {
            sched_yield(); /* what the watchdog does about the deadline is done then */
        }
        CHECK_EQUAL(write(ends[1], "", 1), 1);
    }
    while (pyh_interp_load(running.interps[0]) > 0) {
        sched_yield();
    }
    drain();
    status = status == PYHOST_OK && call == NULL ? PYHOST_NO_MEMORY : status;
    pyh_call_unref(call);
    return status;
}

static pyh_message *bundle, *boot;

/* The owner thread lets go of what it has not read a moment after it has ended. */
static void wait_for_references(pyh_message *message, uint32_t count)
{
    while (message->references > count) {
        sched_yield();
    }
    CHECK_EQUAL(message->references, count);
}

/* From nothing to an answer and to the end. */
static pyhost_status come_up(pyh_router *router)
{
    pyh_interp *interp = pyh_interp_new(router);
    if (interp == NULL) {
        return PYHOST_NO_MEMORY;
    }
    pyhost_status status = pyh_interp_warm_up(interp, pyh_message_ref(bundle));
    if (status != PYHOST_OK && pyh_interp_warm_up(interp, pyh_message_ref(bundle)) == PYHOST_OK) {
        pyh_interp_close(interp);
        CHECK_STATUS(pyh_event_wait(&interp->ended, PYH_NEVER), PYHOST_OK);
    }
    if (status == PYHOST_OK) {
        pyh_assignment assignment = {
            .name = "test",
            .inbox_capacity = 8,
            .memory_limit_bytes = PYH_NO_LIMIT,
            .boot = pyh_message_ref(boot),
            .start_limit_ns = PYH_NEVER,
            .stop_limit_ns = PYH_NEVER,
            .grace_ns = PYH_NEVER,
        };
        status = pyh_interp_start(interp, &assignment);
        if (status != PYHOST_OK) {
            pyh_interp_close(interp);
        }
        CHECK_STATUS(pyh_event_wait(&interp->ready, PYH_NEVER), PYHOST_OK);
        status = status == PYHOST_OK ? interp->start_status : status;
        pyh_interp_close(interp);
        CHECK_STATUS(pyh_event_wait(&interp->ended, PYH_NEVER), PYHOST_OK);
        CHECK_EQUAL(interp->state == PYH_INTERP_STOPPED,
                    interp->start_status == PYHOST_OK || interp->start_status == PYHOST_CLOSED);
    }
    pyh_interp_unref(interp);
    return status;
}

static pyhost_status interpreters_come_up(void)
{
    pyh_router *router = pyh_router_new();
    pyhost_status status = router != NULL ? come_up(router) : PYHOST_NO_MEMORY;
    pyh_router_unref(router);
    CHECK_EQUAL(pyh_interp_left_count(), 1); /* the one that runs */
    wait_for_references(bundle, 1);
    wait_for_references(boot, 1);
    return status;
}

/* Before any interpreter runs, which would have started the thread of timers. */
static const shortage_scenario arming = SHORTAGE_SCENARIO(timers_are_armed, 0, OK, NOTHING);

static const shortage_scenario scenarios[] = {
    SHORTAGE_SCENARIO(messages_are_written, NO_MEMORY, 0, NOTHING),
    SHORTAGE_SCENARIO(values_of_every_kind_are_built, NO_MEMORY, 0, NOTHING),
    SHORTAGE_SCENARIO(values_are_copied, NO_MEMORY, 0, NOTHING),
    SHORTAGE_SCENARIO(builders_are_used_again, NO_MEMORY, 0, NOTHING),
    SHORTAGE_SCENARIO(no_arguments_are_taken, NO_MEMORY, 0, NOTHING),
    SHORTAGE_SCENARIO(channels_of_values_are_made, NO_MEMORY, NO_MEMORY | SYSTEM, NOTHING),
    SHORTAGE_SCENARIO(handles_are_made, NO_MEMORY, 0, NOTHING),
    SHORTAGE_SCENARIO(channels_are_made_and_resized, NO_MEMORY, 0, NOTHING),
    SHORTAGE_SCENARIO(routes_are_published, NO_MEMORY, 0, NOTHING),
    SHORTAGE_SCENARIO(routes_are_replaced, NO_MEMORY, 0, NOTHING),
    SHORTAGE_SCENARIO(calls_gather_in_completions, NO_MEMORY, SYSTEM, NOTHING),
    SHORTAGE_SCENARIO(logs_take_records, NO_MEMORY, 0, NOTHING),
    SHORTAGE_SCENARIO(lost_records_are_counted, NO_MEMORY, 0, NOTHING),
    SHORTAGE_SCENARIO(lines_are_printed, NO_MEMORY, SYSTEM, NOTHING),
    SHORTAGE_SCENARIO(accounts_are_opened, NO_MEMORY, 0, SOME),
    SHORTAGE_SCENARIO(threads_join_accounts, NO_MEMORY, SYSTEM, NOTHING),
    SHORTAGE_SCENARIO(regions_are_mapped, NO_MEMORY | OK, 0, NOTHING),
    SHORTAGE_SCENARIO(errors_are_said, NO_MEMORY, 0, NOTHING),
    SHORTAGE_SCENARIO(functions_are_offered, NO_MEMORY, 0, SOME),
    SHORTAGE_SCENARIO(offered_functions_are_called, NO_MEMORY | OK, 0, NOTHING),
    SHORTAGE_SCENARIO(interpreters_are_made, NO_MEMORY, 0, NOTHING),
    SHORTAGE_SCENARIO(values_cross, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(arguments_cross, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(call, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(call_without_arguments, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(call_with_keywords, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(call_directly, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(call_and_fail, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(submit, NO_MEMORY, SYSTEM, REGIONS),
    SHORTAGE_SCENARIO(map_over_many, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(publish, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(start_none, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(keep_code, NO_MEMORY, 0, SOME),
    SHORTAGE_SCENARIO(threads_visit, NO_MEMORY, SYSTEM, REGIONS),
    SHORTAGE_SCENARIO(late_calls_are_answered, NO_MEMORY, 0, REGIONS),
    SHORTAGE_SCENARIO(interpreters_come_up, NO_MEMORY | SHORTAGE_OUTCOME(RAISED) | SYSTEM | OK, SYSTEM, REGIONS),
};

/* The running plugin's functions, as Python has them. */
static void open_door(void)
{
    PyObject *names = PyModule_GetDict(PyImport_AddModule("__main__"));
    embed_run(door);
    PyObject *module = PyImport_ImportModule("pyhost._core");
    PyObject *router = pyh_core_wrap_router(PyModule_GetState(module), running.router);
    embed_check_no_exception("a router");
    PyDict_SetItemString(names, "router", router);
    embed_run("names = 'add', 'count', 'insist', 'fail'\n"
              "add, count, insist, fail = (router.function(f'plugin.{name}') for name in names)\n"
              "add_directly = router.function('direct.add')\n");
    Py_DECREF(router);
    Py_DECREF(module);
    codec = codec_make(false);
    for (size_t i = 0; i < CHECK_COUNT(values); i++) {
        values[i] = embed_eval(expressions[i]);
    }
    bundle = plugins_message(embed_eval("guest_bundle()"));
    boot = plugins_boot("plugin", getenv("PYHOST_TEST_PLUGIN"));
}

static void begin_python(void)
{
    pyh_function direct = {.name = "add", .direct = true, .deadline_ns = PYH_NEVER};
    plugins_begin();
    running = plugins_make(1);
    CHECK_STATUS(pyh_router_publish(running.router, pyh_route_ref(running.route)), PYHOST_OK);
    pyh_route *route = pyh_route_new("direct", running.interps, 1, &direct, 1, NULL);
    CHECK_STATUS(pyh_router_publish(running.router, route), PYHOST_OK);
    adds = plugins_request(2, 1, 2);
    CHECK_EQUAL(pipe(ends), 0);
    plugins_attach();
    open_door();
    plugins_detach();
}

static int end_python(int code)
{
    plugins_attach();
    embed_run("del router, add, count, insist, fail, add_directly");
    for (size_t i = 0; i < CHECK_COUNT(values); i++) {
        Py_CLEAR(values[i]);
    }
    pyh_codec_clear(&codec);
    plugins_detach();
    pyh_router_withdraw(running.router, "plugin");
    pyh_router_withdraw(running.router, "direct");
    plugins_clear(&running);
    close(ends[0]);
    close(ends[1]);
    pyh_message_unref(bundle);
    pyh_message_unref(boot);
    pyh_message_unref(adds);
    return plugins_end(code);
}

/* What the scenarios share. */
static void begin(void)
{
    pyh_writer writer = {0};
    pyh_log *log = pyh_log_new();
    printed_by = pyh_log_source_new(log, 1);
    pyh_log_open(log, 20);
    shared_route = route_with("plugin", NULL, 0);
    CHECK_STATUS(build(3, add_two_buffers, &two_buffers), PYHOST_OK);
    pyh_writer_byte(&writer, PYH_TAG_TUPLE);
    pyh_writer_varint(&writer, 0);
    pyh_writer_byte(&writer, PYH_TAG_DICT);
    pyh_writer_varint(&writer, 0);
    CHECK_STATUS(pyh_writer_finish(&writer, &no_arguments), PYHOST_OK);
    CHECK_STATUS(pyhost_host_register("gives", with_result, NULL), PYHOST_OK);
    CHECK_STATUS(pyhost_host_register("fails", offered, NULL), PYHOST_OK);
    for (size_t i = 0; i < CHECK_COUNT(accounts); i++) {
        accounts[i] = pyh_account_new();
        CHECK(accounts[i] != NULL);
    }
}

static void end(void)
{
    pyh_log *log = printed_by->log;
    pyh_log_close(log);
    pyh_log_source_unref(printed_by);
    pyh_log_unref(log);
    pyh_route_unref(shared_route);
    pyhost_value_unref(two_buffers);
    pyh_message_unref(no_arguments);
    for (size_t i = 0; i < CHECK_COUNT(accounts); i++) {
        pyh_account_unref(accounts[i]);
    }
}

int main(int argc, char **argv)
{
    shortage_run(&arming);
    begin_python();
    begin();
    int code = shortage_main(scenarios, CHECK_COUNT(scenarios), argc, argv);
    end();
    return end_python(code);
}
