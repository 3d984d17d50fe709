/* Python plugins in SQL: a loadable extension of SQLite.
 *
 *     sqlite> .load ./sqlite_pyhost
 *     sqlite> SELECT pyhost_load('plugins');
 *     sqlite> SELECT py('text.reverse', name) FROM people;
 *
 * pyhost_load(FOLDER) starts pyhost with the plugins of the folder; py(FUNCTION, ...) calls one. NULL, integers, reals,
 * text and blobs are None, int, float, str and bytes. The shell, which knows nothing of Python, loads this file; it
 * stays loaded until the process ends. */
#include <sqlite3ext.h>
#include <string.h>

#include <pyhost.h>

SQLITE_EXTENSION_INIT1

/* Of the process, as Python is. */
static pyhost_runtime *runtime;

/* What one place in a statement calls; kept by SQLite from row to row. */
typedef struct site {
    pyhost_function *function;
    pyhost_builder *arguments;
} site;

static void free_site(void *kept)
{
    site *self = kept;
    pyhost_function_unref(self->function);
    pyhost_builder_free(self->arguments);
    sqlite3_free(self);
}

static void fail(sqlite3_context *context, pyhost_status status, pyhost_error *error)
{
    sqlite3_result_error(context, error != NULL ? pyhost_error_message(error) : pyhost_status_message(status), -1);
    pyhost_error_free(error);
}

static void load(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    pyhost_error *error = NULL;
    pyhost_runtime_options options = {
        .size = sizeof options,
        .plugins = (const char *)sqlite3_value_text(values[0]),
    };
    pyhost_status status = pyhost_runtime_start(&options, &runtime, &error);
    if (status != PYHOST_OK) {
        fail(context, status, error);
    }
}

/* The site of a call whose first argument, the function's name, is the same in every row; made in the first one. */
static site *find_site(sqlite3_context *context, sqlite3_value *name)
{
    const char *text = (const char *)sqlite3_value_text(name);
    site *made = sqlite3_malloc(sizeof *made);
    if (made == NULL) {
        sqlite3_result_error_nomem(context);
        return NULL;
    }
    *made = (site){.arguments = pyhost_builder_new()};
    pyhost_status status = PYHOST_UNAVAILABLE;
    if (runtime != NULL) {
        status = text != NULL && made->arguments != NULL ? pyhost_function_new(runtime, text, &made->function)
                                                         : PYHOST_MISUSED;
    }
    if (status != PYHOST_OK) {
        sqlite3_result_error(context,
                             runtime == NULL ? "pyhost is not loaded: SELECT pyhost_load('folder of plugins')"
                                             : "the first argument is the name of a function, 'plugin.function'",
                             -1);
        free_site(made);
        return NULL;
    }
    sqlite3_set_auxdata(context, 0, made, free_site);
    return sqlite3_get_auxdata(context, 0);
}

static void put(pyhost_builder *arguments, sqlite3_value *value)
{
    switch (sqlite3_value_type(value)) {
    case SQLITE_INTEGER:
        pyhost_builder_int(arguments, sqlite3_value_int64(value));
        break;
    case SQLITE_FLOAT:
        pyhost_builder_float(arguments, sqlite3_value_double(value));
        break;
    case SQLITE_TEXT: {
        const char *text = (const char *)sqlite3_value_text(value);
        pyhost_builder_str(arguments, text, (size_t)sqlite3_value_bytes(value));
        break;
    }
    case SQLITE_BLOB: {
        const void *bytes = sqlite3_value_blob(value);
        pyhost_builder_bytes(arguments, bytes, (size_t)sqlite3_value_bytes(value));
        break;
    }
    default:
        pyhost_builder_none(arguments);
        break;
    }
}

static void give(sqlite3_context *context, pyhost_value *value)
{
    pyhost_reader reader = pyhost_reader_make(value);
    const char *text;
    const void *bytes;
    size_t size;
    int64_t number;
    double real;
    bool truth;
    switch (pyhost_reader_kind(&reader)) {
    case PYHOST_KIND_NONE:
        sqlite3_result_null(context);
        return;
    case PYHOST_KIND_BOOL:
        pyhost_reader_bool(&reader, &truth);
        sqlite3_result_int(context, truth);
        return;
    case PYHOST_KIND_INT:
        if (pyhost_reader_int(&reader, &number) == PYHOST_OK) {
            sqlite3_result_int64(context, number);
        } else {
            sqlite3_result_error(context, "the plugin's integer has over 64 bits", -1);
        }
        return;
    case PYHOST_KIND_FLOAT:
        pyhost_reader_float(&reader, &real);
        sqlite3_result_double(context, real);
        return;
    case PYHOST_KIND_STR:
        pyhost_reader_str(&reader, &text, &size);
        sqlite3_result_text64(context, text, size, SQLITE_TRANSIENT, SQLITE_UTF8);
        return;
    case PYHOST_KIND_BYTES:
    case PYHOST_KIND_BYTEARRAY:
        pyhost_reader_bytes(&reader, &bytes, &size);
        sqlite3_result_blob64(context, bytes, size, SQLITE_TRANSIENT);
        return;
    default:
        sqlite3_result_error(context, "the plugin's result is no value of SQL: return None, numbers, str or bytes", -1);
        return;
    }
}

static void call(sqlite3_context *context, int count, sqlite3_value **values)
{
    pyhost_error *error = NULL;
    pyhost_value *value = NULL;
    if (count == 0) {
        sqlite3_result_error(context, "py() takes the name of a function, and its arguments", -1);
        return;
    }
    site *place = sqlite3_get_auxdata(context, 0);
    if (place == NULL && (place = find_site(context, values[0])) == NULL) {
        return;
    }
    for (int i = 1; i < count; i++) {
        put(place->arguments, values[i]);
    }
    pyhost_status status = pyhost_function_call(place->function, place->arguments, 0, &value, &error);
    if (status != PYHOST_OK) {
        fail(context, status, error);
        return;
    }
    give(context, value);
    pyhost_value_unref(value);
}

int sqlite3_sqlitepyhost_init(sqlite3 *database, char **message, const sqlite3_api_routines *routines)
{
    (void)message;
    SQLITE_EXTENSION_INIT2(routines);
    int result = sqlite3_create_function(database, "py", -1, SQLITE_UTF8, NULL, call, NULL, NULL);
    if (result == SQLITE_OK) {
        result = sqlite3_create_function(database, "pyhost_load", 1, SQLITE_UTF8, NULL, load, NULL, NULL);
    }
    /* A process that has started Python cannot unload it. */
    return result == SQLITE_OK ? SQLITE_OK_LOAD_PERMANENTLY : result;
}
