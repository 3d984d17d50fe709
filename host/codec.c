/* codec: the interpreter's part of the codec (types and functions found at first use), and whole messages. The walk
 * over values is in codec_encode.c and codec_decode.c. */
#include "codec.h"

void pyh_codec_clear(pyh_codec *codec)
{
    Py_CLEAR(codec->buffer_type);
    Py_CLEAR(codec->pickle_dumps);
    Py_CLEAR(codec->pickle_loads);
    Py_CLEAR(codec->date_type);
    Py_CLEAR(codec->time_type);
    Py_CLEAR(codec->datetime_type);
    Py_CLEAR(codec->timedelta_type);
    Py_CLEAR(codec->timezone_type);
}

int pyh_codec_traverse(pyh_codec *codec, visitproc visit, void *arg)
{
    Py_VISIT(codec->buffer_type);
    Py_VISIT(codec->pickle_dumps);
    Py_VISIT(codec->pickle_loads);
    Py_VISIT(codec->date_type);
    Py_VISIT(codec->time_type);
    Py_VISIT(codec->datetime_type);
    Py_VISIT(codec->timedelta_type);
    Py_VISIT(codec->timezone_type);
    return 0;
}

int pyh_codec_load_datetime(pyh_codec *codec)
{
    if (codec->timezone_type != NULL) {
        return 0;
    }
    PyObject *module = PyImport_ImportModule("datetime");
    if (module == NULL) {
        return -1;
    }
    struct {
        const char *name;
        PyObject **type;
    } wanted[] = {
        {"date", &codec->date_type},           {"time", &codec->time_type},         {"datetime", &codec->datetime_type},
        {"timedelta", &codec->timedelta_type}, {"timezone", &codec->timezone_type},
    };
    int result = 0;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0] && result == 0; i++) {
        Py_XSETREF(*wanted[i].type, PyObject_GetAttrString(module, wanted[i].name));
        result = *wanted[i].type != NULL ? 0 : -1;
    }
    Py_DECREF(module);
    return result;
}

pyhost_status pyh_codec_encode_message(pyh_codec *codec, PyObject *value, pyh_message **message)
{
    pyh_writer writer = {0};
    pyhost_status status = pyh_codec_encode(codec, &writer, value);
    if (status != PYHOST_OK) {
        pyh_writer_discard(&writer);
        return status;
    }
    return pyh_writer_finish(&writer, message);
}

pyhost_status pyh_codec_decode_message(pyh_codec *codec, pyh_message *message, PyObject **value)
{
    pyh_reader reader = pyh_reader_make(message);
    PyObject *result = NULL;
    pyhost_status status = pyh_codec_decode(codec, &reader, &result);
    if (status == PYHOST_OK && pyh_reader_left(&reader) > 0) {
        Py_CLEAR(result);
        PyErr_SetString(PyExc_ValueError, "bytes are left after the value");
        status = PYHOST_MALFORMED;
    }
    if (status == PYHOST_OK) {
        *value = result;
    }
    return status;
}
