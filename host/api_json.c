/* api_json: calls in JSON. Python's side converts (pyhost/embed.py), with the rules of the HTTP interface, so that there
 * is one parser and one set of rules; the call between the two conversions is like any other. */
#include <stdlib.h>
#include <string.h>

#include "api_runtime.h"

/* Reads (positional, keywords) into the builder. */
static pyhost_status fill(pyhost_builder *builder, pyh_message *parsed)
{
    pyhost_reader whole = pyhost_reader_make(pyh_value_of(parsed)), pair, values;
    if (pyhost_reader_enter(&whole, &pair) != PYHOST_OK || pyhost_reader_enter(&pair, &values) != PYHOST_OK) {
        return PYHOST_MALFORMED;
    }
    while (pyhost_reader_left(&values) > 0) {
        pyhost_status status = pyh_builder_copy(builder, &values);
        if (status != PYHOST_OK) {
            return status;
        }
    }
    if (pyhost_reader_leave(&pair, &values) != PYHOST_OK || pyhost_reader_enter(&pair, &values) != PYHOST_OK) {
        return PYHOST_MALFORMED;
    }
    while (pyhost_reader_left(&values) > 0) {
        char *name = pyh_text_copy(pyh_text_read(&values));
        if (name == NULL) {
            return PYHOST_NO_MEMORY;
        }
        pyhost_builder_keyword(builder, name);
        free(name);
        pyhost_status status = pyh_builder_copy(builder, &values);
        if (status != PYHOST_OK) {
            return status;
        }
    }
    return PYHOST_OK;
}

static pyhost_status parse(const char *arguments, pyhost_builder *builder, pyhost_error **error)
{
    pyh_message *parsed = NULL;
    pyhost_builder_str(builder, arguments, strlen(arguments));
    pyhost_status status = pyh_runtime_order("parse", builder, &parsed, error);
    if (status == PYHOST_OK) {
        status = fill(builder, parsed);
        if (status != PYHOST_OK) {
            pyh_error_say(error, status, "%s", pyhost_status_message(status));
        }
    }
    pyh_message_unref(parsed);
    return status;
}

/* The value as JSON text; malloc'ed. */
static pyhost_status format(pyhost_value *value, pyhost_builder *builder, char **text, pyhost_error **error)
{
    pyh_message *reply = NULL;
    pyhost_builder_value(builder, value);
    pyhost_status status = pyh_runtime_order("format", builder, &reply, error);
    if (status == PYHOST_OK) {
        pyhost_reader reader = pyhost_reader_make(pyh_value_of(reply));
        char *copy = pyh_text_copy(pyh_text_read(&reader));
        status = copy != NULL ? PYHOST_OK : pyh_error_say(error, PYHOST_NO_MEMORY, "out of memory");
        *text = copy != NULL ? copy : *text;
    }
    pyh_message_unref(reply);
    return status;
}

pyhost_status pyhost_call_json(pyhost_runtime *runtime, const char *function, const char *arguments,
                               int64_t timeout_ns, char **result, pyhost_error **error)
{
    pyhost_function *handle = NULL;
    pyhost_value *value = NULL;
    pyhost_builder *builder = pyhost_builder_new();
    pyhost_status status = builder != NULL ? pyhost_function_new(runtime, function, &handle) : PYHOST_NO_MEMORY;
    if (status != PYHOST_OK) {
        pyh_error_say(error, status, "%s: %s", function, pyhost_status_message(status));
        goto free_builder;
    }
    status = arguments != NULL ? parse(arguments, builder, error) : PYHOST_OK;
    status = status == PYHOST_OK ? pyhost_function_call(handle, builder, timeout_ns, &value, error) : status;
    status = status == PYHOST_OK && result != NULL ? format(value, builder, result, error) : status;
    pyhost_value_unref(value);
    pyhost_function_unref(handle);
free_builder:
    pyhost_builder_free(builder);
    return status;
}

void pyhost_text_free(char *text)
{
    free(text);
}
