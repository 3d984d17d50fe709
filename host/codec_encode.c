/* codec_encode: values to bytes. Encoding can run Python code only through pickle, and then a container that is being
 * written may change under it: counts are compared at the end. */
#include "codec.h"

#include <datetime.h>
#include <string.h>

#include "codec_format.h"
#include "core_channel.h"

typedef struct {
    pyh_codec *codec;
    pyh_writer *writer;
    int depth;
} encoder;

static pyhost_status encode_value(encoder *self, PyObject *value);

static pyhost_status writer_outcome(const pyh_writer *writer)
{
    if (writer->status == PYHOST_NO_MEMORY) {
        PyErr_Format(PyExc_MemoryError, "no memory for the message, or it is over %zu bytes", PYH_MESSAGE_LIMIT);
        return PYHOST_UNENCODABLE;
    }
    return writer->status;
}

static void write_tagged_bytes(pyh_writer *writer, pyh_tag tag, const void *bytes, Py_ssize_t size)
{
    pyh_writer_tagged(writer, tag, (uint64_t)size);
    pyh_writer_bytes(writer, bytes, (size_t)size);
}

static pyhost_status encode_int(encoder *self, PyObject *value)
{
    int overflow;
    long long small = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow == 0) {
        pyh_writer_tagged(self->writer, PYH_TAG_INT, pyh_zigzag(small));
        return writer_outcome(self->writer);
    }
    Py_ssize_t size = PyLong_AsNativeBytes(value, NULL, 0, Py_ASNATIVEBYTES_LITTLE_ENDIAN);
    if (size < 0) {
        return PYHOST_UNENCODABLE;
    }
    pyh_writer_tagged(self->writer, PYH_TAG_BIG_INT, (uint64_t)size);
    unsigned char *at = pyh_writer_reserve(self->writer, (size_t)size);
    if (at != NULL && PyLong_AsNativeBytes(value, at, size, Py_ASNATIVEBYTES_LITTLE_ENDIAN) < 0) {
        return PYHOST_UNENCODABLE;
    }
    return writer_outcome(self->writer);
}

static pyhost_status encode_float(encoder *self, PyObject *value)
{
    unsigned char *at = pyh_writer_reserve(self->writer, 9);
    if (at != NULL) {
        at[0] = PYH_TAG_FLOAT;
        PyFloat_Pack8(PyFloat_AS_DOUBLE(value), (char *)at + 1, 1);
    }
    return writer_outcome(self->writer);
}

static pyhost_status encode_str(encoder *self, PyObject *value)
{
    if (PyUnicode_IS_ASCII(value)) {
        write_tagged_bytes(self->writer, PYH_TAG_STR, PyUnicode_1BYTE_DATA(value), PyUnicode_GET_LENGTH(value));
        return writer_outcome(self->writer);
    }
    /* Not PyUnicode_AsUTF8: that would leave its copy in the caller's object. */
    PyObject *bytes = PyUnicode_AsEncodedString(value, "utf-8", "surrogatepass");
    if (bytes == NULL) {
        return PYHOST_UNENCODABLE;
    }
    write_tagged_bytes(self->writer, PYH_TAG_STR, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);
    return writer_outcome(self->writer);
}

static pyhost_status changed_while_encoding(PyObject *value)
{
    PyErr_Format(PyExc_RuntimeError, "%T changed size while it was encoded", value);
    return PYHOST_UNENCODABLE;
}

static pyhost_status encode_list(encoder *self, PyObject *value)
{
    Py_ssize_t count = PyList_GET_SIZE(value);
    pyh_writer_tagged(self->writer, PYH_TAG_LIST, (uint64_t)count);
    for (Py_ssize_t i = 0; i < count; i++) {
        if (i >= PyList_GET_SIZE(value)) {
            return changed_while_encoding(value);
        }
        PyObject *item = Py_NewRef(PyList_GET_ITEM(value, i));
        pyhost_status status = encode_value(self, item);
        Py_DECREF(item);
        if (status != PYHOST_OK) {
            return status;
        }
    }
    return PyList_GET_SIZE(value) == count ? PYHOST_OK : changed_while_encoding(value);
}

static pyhost_status encode_tuple(encoder *self, PyObject *value)
{
    Py_ssize_t count = PyTuple_GET_SIZE(value);
    pyh_writer_tagged(self->writer, PYH_TAG_TUPLE, (uint64_t)count);
    for (Py_ssize_t i = 0; i < count; i++) {
        pyhost_status status = encode_value(self, PyTuple_GET_ITEM(value, i));
        if (status != PYHOST_OK) {
            return status;
        }
    }
    return PYHOST_OK;
}

static pyhost_status encode_dict(encoder *self, PyObject *value)
{
    Py_ssize_t count = PyDict_GET_SIZE(value), position = 0, written = 0;
    PyObject *key, *item;
    pyhost_status status = PYHOST_OK;
    pyh_writer_tagged(self->writer, PYH_TAG_DICT, (uint64_t)count);
    while (status == PYHOST_OK && written < count && PyDict_Next(value, &position, &key, &item)) {
        Py_INCREF(key);
        Py_INCREF(item);
        status = encode_value(self, key);
        if (status == PYHOST_OK) {
            status = encode_value(self, item);
        }
        Py_DECREF(key);
        Py_DECREF(item);
        written++;
        if (status == PYHOST_OK && PyDict_GET_SIZE(value) != count) {
            return changed_while_encoding(value);
        }
    }
    return status != PYHOST_OK || written == count ? status : changed_while_encoding(value);
}

static pyhost_status encode_set(encoder *self, PyObject *value)
{
    /* A snapshot: a set has no index, and an element's pickling may change it. */
    PyObject *items = PySequence_Tuple(value);
    if (items == NULL) {
        return PYHOST_UNENCODABLE;
    }
    pyhost_status status = PYHOST_OK;
    pyh_tag tag = PyFrozenSet_CheckExact(value) ? PYH_TAG_FROZENSET : PYH_TAG_SET;
    pyh_writer_tagged(self->writer, tag, (uint64_t)PyTuple_GET_SIZE(items));
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items) && status == PYHOST_OK; i++) {
        status = encode_value(self, PyTuple_GET_ITEM(items, i));
    }
    Py_DECREF(items);
    return status;
}

static void write_date(pyh_writer *writer, PyObject *value)
{
    int year = PyDateTime_GET_YEAR(value);
    const unsigned char bytes[PYH_DATE_SIZE] = {
        (unsigned char)(year & 0xff),
        (unsigned char)(year >> 8),
        (unsigned char)PyDateTime_GET_MONTH(value),
        (unsigned char)PyDateTime_GET_DAY(value),
    };
    pyh_writer_bytes(writer, bytes, sizeof bytes);
}

static void write_time(pyh_writer *writer, int hour, int minute, int second, int microsecond, int fold)
{
    const unsigned char bytes[PYH_TIME_SIZE] = {
        (unsigned char)hour,
        (unsigned char)minute,
        (unsigned char)second,
        (unsigned char)(microsecond & 0xff),
        (unsigned char)(microsecond >> 8 & 0xff),
        (unsigned char)(microsecond >> 16),
        (unsigned char)fold,
    };
    pyh_writer_bytes(writer, bytes, sizeof bytes);
}

/* Counts one level of nesting, as the decoder does; UNENCODABLE when it is one too many. leave() in any case. */
static pyhost_status enter(encoder *self)
{
    if (++self->depth > PYH_CODEC_DEPTH) {
        PyErr_Format(PyExc_ValueError, "nested deeper than %d levels, or contains itself", PYH_CODEC_DEPTH);
        return PYHOST_UNENCODABLE;
    }
    return PYHOST_OK;
}

static void leave(encoder *self)
{
    self->depth--;
}

static pyhost_status encode_nested(encoder *self, PyObject *value)
{
    pyhost_status status = enter(self);
    status = status == PYHOST_OK ? encode_value(self, value) : status;
    leave(self);
    return status;
}

static pyhost_status encode_timezone(encoder *self, PyObject *value)
{
    PyObject *arguments = PyObject_CallMethod(value, "__getinitargs__", NULL);
    if (arguments == NULL) {
        return PYHOST_UNENCODABLE;
    }
    pyh_writer_byte(self->writer, PYH_TAG_TIMEZONE);
    pyhost_status status = encode_nested(self, arguments);
    Py_DECREF(arguments);
    return status;
}

/* Whether the value is one of the datetime kinds; then *status is the outcome. */
static bool encode_datetime_kind(encoder *self, PyObject *value, pyhost_status *status)
{
    if (strncmp(Py_TYPE(value)->tp_name, "datetime.", 9) != 0) {
        return false;
    }
    pyh_codec *codec = self->codec;
    pyh_writer *writer = self->writer;
    if (pyh_codec_load_datetime(codec) < 0) {
        *status = PYHOST_UNENCODABLE;
        return true;
    }
    PyObject *type = (PyObject *)Py_TYPE(value);
    if (type == codec->datetime_type) {
        pyh_writer_byte(writer, PYH_TAG_DATETIME);
        write_date(writer, value);
        write_time(writer, PyDateTime_DATE_GET_HOUR(value), PyDateTime_DATE_GET_MINUTE(value),
                   PyDateTime_DATE_GET_SECOND(value), PyDateTime_DATE_GET_MICROSECOND(value),
                   PyDateTime_DATE_GET_FOLD(value));
        *status = encode_nested(self, PyDateTime_DATE_GET_TZINFO(value));
    } else if (type == codec->date_type) {
        pyh_writer_byte(writer, PYH_TAG_DATE);
        write_date(writer, value);
        *status = writer_outcome(writer);
    } else if (type == codec->time_type) {
        pyh_writer_byte(writer, PYH_TAG_TIME);
        write_time(writer, PyDateTime_TIME_GET_HOUR(value), PyDateTime_TIME_GET_MINUTE(value),
                   PyDateTime_TIME_GET_SECOND(value), PyDateTime_TIME_GET_MICROSECOND(value),
                   PyDateTime_TIME_GET_FOLD(value));
        *status = encode_nested(self, PyDateTime_TIME_GET_TZINFO(value));
    } else if (type == codec->timedelta_type) {
        pyh_writer_tagged(writer, PYH_TAG_TIMEDELTA, pyh_zigzag(PyDateTime_DELTA_GET_DAYS(value)));
        pyh_writer_varint(writer, (uint64_t)PyDateTime_DELTA_GET_SECONDS(value));
        pyh_writer_varint(writer, (uint64_t)PyDateTime_DELTA_GET_MICROSECONDS(value));
        *status = writer_outcome(writer);
    } else if (type == codec->timezone_type) {
        *status = encode_timezone(self, value);
    } else {
        return false;
    }
    return true;
}

/* Whether memoryview.cast takes the letter for items of that size: the decoder will ask it to. */
static bool can_cast(const char *letter, Py_ssize_t itemsize)
{
    PyObject *item = PyBytes_FromStringAndSize(NULL, itemsize);
    PyObject *view = item != NULL ? PyMemoryView_FromObject(item) : NULL;
    PyObject *cast = view != NULL ? PyObject_CallMethod(view, "cast", "s", letter) : NULL;
    bool can = cast != NULL && PyMemoryView_GET_BUFFER(cast)->itemsize == itemsize;
    PyErr_Clear();
    Py_XDECREF(cast);
    Py_XDECREF(view);
    Py_XDECREF(item);
    return can;
}

/* The native one-letter format of a buffer, as memoryview.cast takes it; NULL with an exception set. */
static const char *native_format(const Py_buffer *view)
{
    const char *format = view->format != NULL ? view->format : "B";
    const char *letter = format;
    if (*letter == '@' || *letter == '=' || *letter == (PY_LITTLE_ENDIAN ? '<' : '>')) {
        letter++;
    }
    if ((letter[0] == 'B' && letter[1] == '\0') || can_cast(letter, view->itemsize)) {
        return letter;
    }
    PyErr_Format(PyExc_ValueError, "a memoryview of format '%s'; allowed: native one-letter formats", format);
    return NULL;
}

static pyhost_status encode_view_shape(encoder *self, const Py_buffer *view)
{
    const char *letter = native_format(view);
    if (letter == NULL) {
        return PYHOST_UNENCODABLE;
    }
    if (view->len == 0 && view->ndim != 1) {
        PyErr_SetString(PyExc_ValueError, "an empty memoryview of several dimensions");
        return PYHOST_UNENCODABLE;
    }
    PyObject *shape = PyTuple_New(view->ndim);
    for (int i = 0; shape != NULL && i < view->ndim; i++) {
        PyObject *extent = PyLong_FromSsize_t(view->shape[i]);
        if (extent == NULL) {
            Py_CLEAR(shape);
        } else {
            PyTuple_SET_ITEM(shape, i, extent);
        }
    }
    PyObject *format = PyUnicode_FromString(letter);
    pyhost_status status = PYHOST_UNENCODABLE;
    if (shape != NULL && format != NULL) {
        pyh_writer_byte(self->writer, PYH_TAG_MEMORYVIEW);
        status = encode_nested(self, format);
        status = status == PYHOST_OK ? encode_nested(self, shape) : status;
    }
    Py_XDECREF(format);
    Py_XDECREF(shape);
    return status;
}

static pyhost_status encode_memoryview(encoder *self, PyObject *value)
{
    Py_buffer view;
    if (PyObject_GetBuffer(value, &view, PyBUF_FULL_RO) < 0) {
        return PYHOST_UNENCODABLE;
    }
    pyhost_status status = encode_view_shape(self, &view);
    if (status == PYHOST_OK && PyBuffer_IsContiguous(&view, 'C')) {
        pyh_writer_buffer(self->writer, view.buf, (size_t)view.len);
        status = writer_outcome(self->writer);
    } else if (status == PYHOST_OK) {
        PyObject *bytes = PyBytes_FromStringAndSize(NULL, view.len);
        if (bytes == NULL || PyBuffer_ToContiguous(PyBytes_AS_STRING(bytes), &view, view.len, 'C') < 0) {
            status = PYHOST_UNENCODABLE;
        } else {
            pyh_writer_buffer(self->writer, PyBytes_AS_STRING(bytes), (size_t)view.len);
            status = writer_outcome(self->writer);
        }
        Py_XDECREF(bytes);
    }
    PyBuffer_Release(&view);
    return status;
}

static pyhost_status encode_channel(encoder *self, PyObject *value)
{
    pyh_writer_byte(self->writer, PYH_TAG_CHANNEL);
    pyh_writer_share(self->writer, pyh_value_channel_as_buffer(pyh_core_channel_of(value)));
    return writer_outcome(self->writer);
}

static int load_pickle_dumps(pyh_codec *codec)
{
    if (codec->pickle_dumps == NULL) {
        /* The C module alone: the Python one beside it costs an interpreter 600 kB. */
        PyObject *module = PyImport_ImportModule("_pickle");
        codec->pickle_dumps = module != NULL ? PyObject_GetAttrString(module, "dumps") : NULL;
        Py_XDECREF(module);
    }
    return codec->pickle_dumps != NULL ? 0 : -1;
}

/* The pickle of a value; *buffers becomes the list of PickleBuffers that stand beside it. */
static PyObject *pickle(pyh_codec *codec, PyObject *value, PyObject **buffers)
{
    PyObject *append = NULL, *arguments = NULL, *keywords = NULL, *pickled = NULL;
    *buffers = PyList_New(0);
    append = *buffers != NULL ? PyObject_GetAttrString(*buffers, "append") : NULL;
    if (append != NULL && load_pickle_dumps(codec) == 0) {
        arguments = Py_BuildValue("(Oi)", value, 5);
        keywords = Py_BuildValue("{sO}", "buffer_callback", append);
        if (arguments != NULL && keywords != NULL) {
            pickled = PyObject_Call(codec->pickle_dumps, arguments, keywords);
        }
    }
    Py_XDECREF(keywords);
    Py_XDECREF(arguments);
    Py_XDECREF(append);
    return pickled;
}

static pyhost_status write_pickle_buffers(encoder *self, PyObject *buffers)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(buffers); i++) {
        Py_buffer view;
        if (PyObject_GetBuffer(PyList_GET_ITEM(buffers, i), &view, PyBUF_ANY_CONTIGUOUS) < 0) {
            return PYHOST_UNENCODABLE;
        }
        pyh_writer_buffer(self->writer, view.buf, (size_t)view.len);
        PyBuffer_Release(&view);
    }
    return writer_outcome(self->writer);
}

static pyhost_status encode_pickle(encoder *self, PyObject *value)
{
    PyObject *buffers = NULL, *pickled = NULL;
    pyhost_status status = PYHOST_UNENCODABLE;
    if (self->codec->plain) {
        PyErr_Format(PyExc_TypeError, "%T is not one of the plain types", value);
        return status;
    }
    pickled = pickle(self->codec, value, &buffers);
    if (pickled != NULL) {
        pyh_writer_tagged(self->writer, PYH_TAG_PICKLE, (uint64_t)PyList_GET_SIZE(buffers));
        pyh_writer_varint(self->writer, (uint64_t)PyBytes_GET_SIZE(pickled));
        pyh_writer_bytes(self->writer, PyBytes_AS_STRING(pickled), (size_t)PyBytes_GET_SIZE(pickled));
        status = write_pickle_buffers(self, buffers);
    }
    Py_XDECREF(pickled);
    Py_XDECREF(buffers);
    return status;
}

static pyhost_status encode_container(encoder *self, PyObject *value)
{
    pyhost_status status = enter(self);
    if (status != PYHOST_OK) {
        /* said already */
    } else if (PyList_CheckExact(value)) {
        status = encode_list(self, value);
    } else if (PyTuple_CheckExact(value)) {
        status = encode_tuple(self, value);
    } else if (PyDict_CheckExact(value)) {
        status = encode_dict(self, value);
    } else {
        status = encode_set(self, value);
    }
    leave(self);
    return status;
}

static pyhost_status encode_singleton(encoder *self, pyh_tag tag)
{
    pyh_writer_byte(self->writer, (unsigned char)tag);
    return writer_outcome(self->writer);
}

static pyhost_status encode_value(encoder *self, PyObject *value)
{
    pyhost_status status;
    if (PyUnicode_CheckExact(value)) {
        return encode_str(self, value);
    }
    if (PyLong_CheckExact(value)) {
        return encode_int(self, value);
    }
    if (PyFloat_CheckExact(value)) {
        return encode_float(self, value);
    }
    if (value == Py_None) {
        return encode_singleton(self, PYH_TAG_NONE);
    }
    if (PyBool_Check(value)) {
        return encode_singleton(self, value == Py_True ? PYH_TAG_TRUE : PYH_TAG_FALSE);
    }
    if (PyList_CheckExact(value) || PyTuple_CheckExact(value) || PyDict_CheckExact(value) ||
        PyAnySet_CheckExact(value)) {
        return encode_container(self, value);
    }
    if (PyBytes_CheckExact(value)) {
        write_tagged_bytes(self->writer, PYH_TAG_BYTES, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value));
        return writer_outcome(self->writer);
    }
    if (PyByteArray_CheckExact(value)) {
        write_tagged_bytes(self->writer, PYH_TAG_BYTEARRAY, PyByteArray_AS_STRING(value), PyByteArray_GET_SIZE(value));
        return writer_outcome(self->writer);
    }
    if (PyMemoryView_Check(value)) {
        return encode_memoryview(self, value);
    }
    if (self->codec->channel_type != NULL && pyh_core_is_channel(value)) {
        return encode_channel(self, value);
    }
    if (encode_datetime_kind(self, value, &status)) {
        return status;
    }
    return encode_pickle(self, value);
}

pyhost_status pyh_codec_encode(pyh_codec *codec, pyh_writer *writer, PyObject *value)
{
    encoder self = {.codec = codec, .writer = writer};
    pyhost_status status = encode_value(&self, value);
    /* An empty container has nothing in it that would have told. */
    return status == PYHOST_OK ? writer_outcome(writer) : status;
}

pyhost_status pyh_codec_encode_arguments(pyh_codec *codec, pyh_writer *writer, PyObject *const *arguments, size_t count,
                                         PyObject *keyword_names, size_t *failed)
{
    size_t keyword_count = keyword_names != NULL ? (size_t)PyTuple_GET_SIZE(keyword_names) : 0;
    encoder self = {.codec = codec, .writer = writer};
    pyh_writer_varint(writer, count);
    pyh_writer_varint(writer, keyword_count);
    for (size_t i = 0; i < count + keyword_count; i++) {
        pyhost_status status = PYHOST_OK;
        if (i >= count) {
            status = encode_value(&self, PyTuple_GET_ITEM(keyword_names, (Py_ssize_t)(i - count)));
        }
        if (status == PYHOST_OK) {
            status = encode_value(&self, arguments[i]);
        }
        if (status != PYHOST_OK) {
            *failed = i;
            return status;
        }
    }
    return writer_outcome(writer);
}
