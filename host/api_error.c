/* api_error: errors for callers who know no Python. One allocation holds the struct and its texts. When there is no
 * memory for one, the status's constant, which is never freed, takes its place. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"

enum { SAID_MOST = 1024 };

struct pyhost_error {
    pyhost_status status;
    const char *message;
    const char *plugin;
    const char *function;
    const char *type;
    const char *traceback;
};

#define BARE_ERROR(name, value, message) [PYHOST_##name] = {PYHOST_##name, message, "", "", "", ""},
static pyhost_error bare[] = {PYHOST_STATUS_MAP(BARE_ERROR)};
#undef BARE_ERROR

static size_t room_for(const pyh_error_parts *parts)
{
    return sizeof(pyhost_error) + parts->message.size + parts->plugin.size + parts->function.size + parts->type.size +
           parts->traceback.size + 5;
}

char *pyh_text_place(char **end, pyh_text text)
{
    char *start = *end;
    if (text.size > 0) {
        memcpy(start, text.start, text.size);
    }
    start[text.size] = '\0';
    *end += text.size + 1;
    return start;
}

char *pyh_text_copy(pyh_text text)
{
    char *copy = malloc(text.size + 1), *end = copy;
    return copy != NULL ? pyh_text_place(&end, text) : NULL;
}

pyhost_status pyh_error_set(pyhost_error **error, pyhost_status status, const pyh_error_parts *parts)
{
    if (error == NULL) {
        return status;
    }
    pyhost_error *made = malloc(room_for(parts));
    if (made == NULL) {
        *error = &bare[status];
        return status;
    }
    char *end = (char *)(made + 1);
    made->status = status;
    made->message = pyh_text_place(&end, parts->message);
    made->plugin = pyh_text_place(&end, parts->plugin);
    made->function = pyh_text_place(&end, parts->function);
    made->type = pyh_text_place(&end, parts->type);
    made->traceback = pyh_text_place(&end, parts->traceback);
    *error = made;
    return status;
}

pyhost_status pyh_error_say(pyhost_error **error, pyhost_status status, const char *format, ...)
{
    char text[SAID_MOST];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return pyh_error_set(error, status, &(pyh_error_parts){.message = pyh_text_of(text)});
}

/* Reads (type, message, notes, traceback), a failure's description. */
static void read_description(pyhost_reader *reader, pyh_error_parts *parts, pyh_text *message)
{
    pyhost_reader inner;
    if (pyhost_reader_enter(reader, &inner) == PYHOST_OK) {
        parts->type = pyh_text_read(&inner);
        *message = pyh_text_read(&inner);
        pyhost_reader_skip(&inner);
        parts->traceback = pyh_text_read(&inner);
    }
}

/* The description in the reply of OVER_LIMIT, (limit, peak, description or None). */
static void read_over_limit(pyhost_reader *reader, pyh_error_parts *parts, pyh_text *message)
{
    pyhost_reader inner;
    if (pyhost_reader_enter(reader, &inner) == PYHOST_OK && pyhost_reader_skip(&inner) == PYHOST_OK &&
        pyhost_reader_skip(&inner) == PYHOST_OK && pyhost_reader_kind(&inner) == PYHOST_KIND_TUPLE) {
        read_description(&inner, parts, message);
    }
}

/* "plugin.function raised Type: message", or "plugin.function: what the status means: detail"; malloc'ed. */
static char *sentence(pyhost_status status, const char *function, pyh_text type, pyh_text detail)
{
    bool has_type = status == PYHOST_RAISED && type.size > 0;
    const char *verb = has_type ? " raised " : ": ";
    pyh_text middle = has_type ? type : pyh_text_of(pyhost_status_message(status));
    char *text = NULL;
    if (asprintf(&text, "%s%s%.*s%s%.*s", function, verb, (int)middle.size, middle.start, detail.size > 0 ? ": " : "",
                 (int)detail.size, detail.start != NULL ? detail.start : "") < 0) {
        return NULL;
    }
    return text;
}

pyhost_status pyh_error_of_call(pyhost_error **error, pyhost_status status, pyh_message *reply, const char *function)
{
    pyh_error_parts parts = {.function = pyh_text_of(function)};
    pyh_text detail = {NULL, 0};
    if (error == NULL) {
        return status;
    }
    const char *dot = strchr(function, '.');
    parts.plugin = (pyh_text){function, dot != NULL ? (size_t)(dot - function) : 0};
    if (reply != NULL) {
        pyhost_reader reader = pyhost_reader_make(pyh_value_of(reply));
        if (status == PYHOST_RAISED) {
            read_description(&reader, &parts, &detail);
        } else if (status == PYHOST_OVER_LIMIT) {
            read_over_limit(&reader, &parts, &detail);
        } else {
            detail = pyh_text_read(&reader);
        }
    }
    char *text = sentence(status, function, parts.type, detail);
    parts.message = text != NULL ? pyh_text_of(text) : pyh_text_of(pyhost_status_message(status));
    pyh_error_set(error, status, &parts);
    free(text);
    return status;
}

void pyhost_error_free(pyhost_error *error)
{
    if (error != NULL && error != &bare[error->status]) {
        free(error);
    }
}

pyhost_status pyhost_error_status(const pyhost_error *error)
{
    return error->status;
}

const char *pyhost_error_message(const pyhost_error *error)
{
    return error->message;
}

const char *pyhost_error_plugin(const pyhost_error *error)
{
    return error->plugin;
}

const char *pyhost_error_function(const pyhost_error *error)
{
    return error->function;
}

const char *pyhost_error_type(const pyhost_error *error)
{
    return error->type;
}

const char *pyhost_error_traceback(const pyhost_error *error)
{
    return error->traceback;
}
