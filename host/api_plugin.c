/* api_plugin: what a program asks about its plugins. Loading and states are orders to Python; figures are read from the
 * table of routes, without it. */
#include <stdlib.h>
#include <string.h>

#include "api_function.h"
#include "api_runtime.h"
#include "cpu.h"

/* An order about one text. */
static pyhost_status order_about(const char *verb, const char *text, pyh_message **reply, pyhost_error **error)
{
    pyhost_builder *request = pyhost_builder_new();
    if (request != NULL) {
        pyhost_builder_str(request, text, strlen(text));
    }
    pyhost_status status = pyh_runtime_order(verb, request, reply, error);
    pyhost_builder_free(request);
    return status;
}

static pyhost_status order_about_nothing(const char *verb, pyh_message **reply, pyhost_error **error)
{
    pyhost_builder *request = pyhost_builder_new();
    if (request != NULL) {
        pyhost_builder_none(request);
    }
    pyhost_status status = pyh_runtime_order(verb, request, reply, error);
    pyhost_builder_free(request);
    return status;
}

pyhost_status pyhost_runtime_rescan(pyhost_runtime *runtime, pyhost_error **error)
{
    (void)runtime;
    return order_about_nothing("rescan", NULL, error);
}

pyhost_status pyhost_plugin_load(pyhost_runtime *runtime, const char *path, pyhost_error **error)
{
    (void)runtime;
    return order_about("load", path, NULL, error);
}

pyhost_status pyhost_plugin_unload(pyhost_runtime *runtime, const char *plugin, pyhost_error **error)
{
    (void)runtime;
    return order_about("unload", plugin, NULL, error);
}

pyhost_status pyhost_plugin_reload(pyhost_runtime *runtime, const char *plugin, pyhost_error **error)
{
    (void)runtime;
    return order_about("reload", plugin, NULL, error);
}

pyhost_status pyhost_plugin_start(pyhost_runtime *runtime, const char *plugin, pyhost_error **error)
{
    (void)runtime;
    return order_about("start", plugin, NULL, error);
}

pyhost_status pyhost_plugin_stop(pyhost_runtime *runtime, const char *plugin, pyhost_error **error)
{
    (void)runtime;
    return order_about("halt", plugin, NULL, error);
}

void pyhost_names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count && names != NULL; i++) {
        free(names[i]);
    }
    free(names);
}

/* Copies the texts of a list. */
static pyhost_status copy_names(pyh_message *reply, char ***names, size_t *count)
{
    pyhost_reader reader = pyhost_reader_make(pyh_value_of(reply)), inner;
    if (pyhost_reader_enter(&reader, &inner) != PYHOST_OK) {
        return PYHOST_MALFORMED;
    }
    size_t total = pyhost_reader_left(&inner);
    char **copies = calloc(total + 1, sizeof *copies);
    for (size_t i = 0; copies != NULL && i < total; i++) {
        copies[i] = pyh_text_copy(pyh_text_read(&inner));
        if (copies[i] == NULL) {
            pyhost_names_free(copies, i);
            copies = NULL;
        }
    }
    if (copies == NULL) {
        return PYHOST_NO_MEMORY;
    }
    *names = copies;
    *count = total;
    return PYHOST_OK;
}

pyhost_status pyhost_plugin_list(pyhost_runtime *runtime, char ***names, size_t *count, pyhost_error **error)
{
    pyh_message *reply = NULL;
    (void)runtime;
    pyhost_status status = order_about_nothing("list", &reply, error);
    if (status == PYHOST_OK) {
        status = copy_names(reply, names, count);
        if (status != PYHOST_OK) {
            pyh_error_say(error, status, "%s", pyhost_status_message(status));
        }
    }
    pyh_message_unref(reply);
    return status;
}

/* Reads (state, version, reason, traceback, interpreters). */
static pyhost_status read_info(pyh_message *reply, pyhost_plugin_info *info)
{
    pyhost_reader reader = pyhost_reader_make(pyh_value_of(reply)), inner;
    int64_t interpreters = 0;
    if (pyhost_reader_enter(&reader, &inner) != PYHOST_OK) {
        return PYHOST_MALFORMED;
    }
    pyh_text state = pyh_text_read(&inner), version = pyh_text_read(&inner), reason = pyh_text_read(&inner);
    pyh_text traceback = pyh_text_read(&inner);
    pyhost_reader_int(&inner, &interpreters);
    char *block = malloc(state.size + version.size + reason.size + traceback.size + 4), *end = block;
    if (block == NULL) {
        return PYHOST_NO_MEMORY;
    }
    pyhost_plugin_info read = {.interpreters = (uint32_t)interpreters};
    read.state = pyh_text_place(&end, state);
    read.version = pyh_text_place(&end, version);
    read.reason = pyh_text_place(&end, reason);
    read.traceback = pyh_text_place(&end, traceback);
    pyh_struct_copy(info, &read, sizeof read);
    return PYHOST_OK;
}

pyhost_status pyhost_plugin_read(pyhost_runtime *runtime, const char *plugin, pyhost_plugin_info *info,
                                 pyhost_error **error)
{
    pyh_message *reply = NULL;
    (void)runtime;
    pyhost_status status = order_about("read", plugin, &reply, error);
    if (status == PYHOST_OK) {
        status = read_info(reply, info);
        if (status != PYHOST_OK) {
            pyh_error_say(error, status, "%s", pyhost_status_message(status));
        }
    }
    pyh_message_unref(reply);
    return status;
}

void pyhost_plugin_info_clear(pyhost_plugin_info *info)
{
    size_t size = info->size;
    free(info->state);
    memset(info, 0, size);
    info->size = size;
}

static void add_interpreter(pyhost_plugin_account *account, pyh_interp *interp)
{
    pyh_account_figures figures = pyh_account_read(interp->account);
    uint32_t load = pyh_interp_load(interp);
    uint32_t running = pyh_interp_running(interp);
    account->interpreters++;
    account->running += running;
    account->queued += load > running ? load - running : 0;
    account->processor_ns += pyh_cpu_read(interp->account);
    account->memory_bytes += figures.current_bytes;
    account->memory_peak_bytes += figures.peak_bytes;
    account->memory_limit_bytes = figures.limit_bytes;
}

static void add_function(pyhost_plugin_account *account, pyh_stats *stats)
{
    pyh_figures figures;
    pyh_stats_read(stats, &figures);
    account->calls += figures.calls;
    account->errors += figures.errors;
    account->timeouts += figures.timeouts;
    account->rejected += figures.rejected;
}

pyhost_status pyhost_plugin_account_read(pyhost_runtime *runtime, const char *plugin, pyhost_plugin_account *account)
{
    uint64_t version;
    pyhost_plugin_account read = {.memory_limit_bytes = INT64_MAX};
    pyh_route *route = pyh_router_find(pyh_api_router(runtime), plugin, &version);
    if (route == NULL) {
        return PYHOST_NO_PLUGIN;
    }
    for (size_t i = 0; i < route->interp_count; i++) {
        add_interpreter(&read, route->interps[i]);
    }
    for (size_t i = 0; i < route->function_count; i++) {
        add_function(&read, route->functions[i].stats);
    }
    pyh_struct_copy(account, &read, sizeof read);
    pyh_route_unref(route);
    return PYHOST_OK;
}
