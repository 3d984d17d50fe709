/* codec_decode: bytes to values. Trusts nothing: every size and count is checked against what is left before anything
 * is allocated for it, and recursion is bounded. Each value takes at least one byte, so a count above the bytes left
 * is malformed. */
#include "codec.h"

#include <stdlib.h>

#include "buffer.h"
#include "codec_format.h"
#include "core_channel.h"

typedef struct {
    pyh_codec *codec;
    pyh_reader *reader;
    int depth;
} decoder;

static PyObject *decode_value(decoder *self);

__attribute__((cold)) static PyObject *malformed(const char *what)
{
    PyErr_Format(PyExc_ValueError, "not a message: %s", what);
    return NULL;
}

/* A count or size that the bytes left can hold; -1 with an exception set. */
static Py_ssize_t read_count(decoder *self)
{
    uint64_t count;
    if (pyh_reader_varint(self->reader, &count) != PYHOST_OK || count > pyh_reader_left(self->reader)) {
        malformed("a size is over what is left");
        return -1;
    }
    return (Py_ssize_t)count;
}

static const unsigned char *read_bytes(decoder *self, Py_ssize_t *size)
{
    *size = read_count(self);
    return *size >= 0 ? pyh_reader_bytes(self->reader, (size_t)*size) : NULL;
}

static const unsigned char *read_fixed(decoder *self, size_t size)
{
    const unsigned char *bytes = pyh_reader_bytes(self->reader, size);
    if (bytes == NULL) {
        malformed("cut short");
    }
    return bytes;
}

static int read_zigzag(decoder *self, long long *value)
{
    uint64_t raw;
    if (pyh_reader_varint(self->reader, &raw) != PYHOST_OK) {
        malformed("an integer is cut short");
        return -1;
    }
    *value = pyh_unzigzag(raw);
    return 0;
}

static PyObject *decode_int(decoder *self)
{
    long long value;
    return read_zigzag(self, &value) == 0 ? PyLong_FromLongLong(value) : NULL;
}

static PyObject *decode_big_int(decoder *self)
{
    Py_ssize_t size;
    const unsigned char *bytes = read_bytes(self, &size);
    return bytes != NULL ? PyLong_FromNativeBytes(bytes, (size_t)size, Py_ASNATIVEBYTES_LITTLE_ENDIAN) : NULL;
}

static PyObject *decode_float(decoder *self)
{
    const unsigned char *bytes = read_fixed(self, 8);
    return bytes != NULL ? PyFloat_FromDouble(PyFloat_Unpack8((const char *)bytes, 1)) : NULL;
}

static PyObject *decode_str(decoder *self)
{
    Py_ssize_t size;
    const unsigned char *bytes = read_bytes(self, &size);
    return bytes != NULL ? PyUnicode_DecodeUTF8((const char *)bytes, size, "surrogatepass") : NULL;
}

static PyObject *decode_bytes(decoder *self)
{
    Py_ssize_t size;
    const unsigned char *bytes = read_bytes(self, &size);
    return bytes != NULL ? PyBytes_FromStringAndSize((const char *)bytes, size) : NULL;
}

static PyObject *decode_bytearray(decoder *self)
{
    Py_ssize_t size;
    const unsigned char *bytes = read_bytes(self, &size);
    return bytes != NULL ? PyByteArray_FromStringAndSize((const char *)bytes, size) : NULL;
}

static PyObject *decode_list(decoder *self)
{
    Py_ssize_t count = read_count(self);
    PyObject *list = count >= 0 ? PyList_New(count) : NULL;
    for (Py_ssize_t i = 0; list != NULL && i < count; i++) {
        PyObject *item = decode_value(self);
        if (item == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, i, item);
        }
    }
    return list;
}

static PyObject *decode_tuple(decoder *self)
{
    Py_ssize_t count = read_count(self);
    PyObject *tuple = count >= 0 ? PyTuple_New(count) : NULL;
    for (Py_ssize_t i = 0; tuple != NULL && i < count; i++) {
        PyObject *item = decode_value(self);
        if (item == NULL) {
            Py_CLEAR(tuple);
        } else {
            PyTuple_SET_ITEM(tuple, i, item);
        }
    }
    return tuple;
}

static PyObject *decode_set(decoder *self, PyObject *set)
{
    Py_ssize_t count = set != NULL ? read_count(self) : -1;
    if (count < 0) {
        Py_XDECREF(set);
        return NULL;
    }
    for (Py_ssize_t i = 0; set != NULL && i < count; i++) {
        PyObject *item = decode_value(self);
        if (item == NULL || PySet_Add(set, item) < 0) {
            Py_CLEAR(set);
        }
        Py_XDECREF(item);
    }
    return set;
}

static PyObject *decode_dict(decoder *self)
{
    Py_ssize_t count = read_count(self);
    PyObject *dict = count >= 0 ? PyDict_New() : NULL;
    for (Py_ssize_t i = 0; dict != NULL && i < count; i++) {
        PyObject *key = decode_value(self);
        PyObject *item = key != NULL ? decode_value(self) : NULL;
        if (item == NULL || PyDict_SetItem(dict, key, item) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(item);
        Py_XDECREF(key);
    }
    return dict;
}

static PyObject *with_fold(PyObject *value, unsigned char fold)
{
    if (value == NULL || fold == 0) {
        return value;
    }
    PyObject *replace = PyObject_GetAttrString(value, "replace");
    PyObject *none = PyTuple_New(0);
    PyObject *keywords = Py_BuildValue("{si}", "fold", (int)fold);
    PyObject *result = NULL;
    if (replace != NULL && none != NULL && keywords != NULL) {
        result = PyObject_Call(replace, none, keywords);
    }
    Py_XDECREF(keywords);
    Py_XDECREF(none);
    Py_XDECREF(replace);
    Py_DECREF(value);
    return result;
}

static int year_of(const unsigned char *date)
{
    return date[0] | date[1] << 8;
}

static int microsecond_of(const unsigned char *time)
{
    return time[3] | time[4] << 8 | time[5] << 16;
}

static PyObject *decode_date(decoder *self)
{
    const unsigned char *date = read_fixed(self, PYH_DATE_SIZE);
    if (date == NULL || pyh_codec_load_datetime(self->codec) < 0) {
        return NULL;
    }
    return PyObject_CallFunction(self->codec->date_type, "iii", year_of(date), date[2], date[3]);
}

static PyObject *decode_time(decoder *self)
{
    const unsigned char *time = read_fixed(self, PYH_TIME_SIZE);
    PyObject *zone = time != NULL && pyh_codec_load_datetime(self->codec) == 0 ? decode_value(self) : NULL;
    if (zone == NULL) {
        return NULL;
    }
    PyObject *value =
        PyObject_CallFunction(self->codec->time_type, "iiiiO", time[0], time[1], time[2], microsecond_of(time), zone);
    Py_DECREF(zone);
    return with_fold(value, time[6]);
}

static PyObject *decode_datetime(decoder *self)
{
    const unsigned char *date = read_fixed(self, PYH_DATE_SIZE);
    const unsigned char *time = date != NULL ? read_fixed(self, PYH_TIME_SIZE) : NULL;
    PyObject *zone = time != NULL && pyh_codec_load_datetime(self->codec) == 0 ? decode_value(self) : NULL;
    if (zone == NULL) {
        return NULL;
    }
    PyObject *value = PyObject_CallFunction(self->codec->datetime_type, "iiiiiiiO", year_of(date), date[2], date[3],
                                            time[0], time[1], time[2], microsecond_of(time), zone);
    Py_DECREF(zone);
    return with_fold(value, time[6]);
}

static PyObject *decode_timedelta(decoder *self)
{
    long long days;
    uint64_t seconds, microseconds;
    if (read_zigzag(self, &days) < 0 || pyh_codec_load_datetime(self->codec) < 0) {
        return NULL;
    }
    if (pyh_reader_varint(self->reader, &seconds) != PYHOST_OK ||
        pyh_reader_varint(self->reader, &microseconds) != PYHOST_OK || seconds >= 86400 || microseconds >= 1000000) {
        return malformed("a timedelta is out of range");
    }
    return PyObject_CallFunction(self->codec->timedelta_type, "Lii", days, (int)seconds, (int)microseconds);
}

static PyObject *decode_timezone(decoder *self)
{
    PyObject *arguments = decode_value(self);
    PyObject *value = NULL;
    if (arguments != NULL && !PyTuple_CheckExact(arguments)) {
        malformed("a timezone without its tuple");
    } else if (arguments != NULL && pyh_codec_load_datetime(self->codec) == 0) {
        value = PyObject_CallObject(self->codec->timezone_type, arguments);
    }
    Py_XDECREF(arguments);
    return value;
}

/* A memoryview over the message's next buffer, in bytes. */
static PyObject *next_buffer(decoder *self)
{
    pyh_reader *reader = self->reader;
    if (reader->next_buffer >= reader->message->buffer_count || self->codec->buffer_type == NULL) {
        return malformed("a buffer is missing, or there is no type for it");
    }
    if (pyh_value_channel_of_buffer(&reader->message->buffers[reader->next_buffer]) != NULL) {
        return malformed("a channel stands for a buffer");
    }
    PyObject *buffer = pyh_buffer_new(self->codec->buffer_type, reader->message, reader->next_buffer++);
    PyObject *view = buffer != NULL ? PyMemoryView_FromObject(buffer) : NULL;
    Py_XDECREF(buffer);
    return view;
}

static PyObject *decode_channel(decoder *self)
{
    pyh_reader *reader = self->reader;
    pyh_value_channel *channel = NULL;
    if (reader->next_buffer < reader->message->buffer_count) {
        channel = pyh_value_channel_of_buffer(&reader->message->buffers[reader->next_buffer++]);
    }
    if (channel == NULL || self->codec->channel_type == NULL) {
        return malformed("a channel is missing, or there is no type for it");
    }
    PyTypeObject *type = self->codec->channel_type(self->codec);
    return type != NULL ? pyh_core_wrap_channel(type, channel) : NULL;
}

static PyObject *decode_memoryview(decoder *self)
{
    PyObject *format = decode_value(self);
    PyObject *shape = format != NULL ? decode_value(self) : NULL;
    PyObject *view = NULL;
    if (shape != NULL && (!PyUnicode_CheckExact(format) || !PyTuple_CheckExact(shape))) {
        malformed("a memoryview without format and shape");
    } else if (shape != NULL) {
        view = next_buffer(self);
    }
    bool is_bytes = view != NULL && PyTuple_GET_SIZE(shape) == 1 && PyUnicode_CompareWithASCIIString(format, "B") == 0;
    if (view != NULL && !is_bytes) {
        /* cast takes no shape with a 0 in it. */
        bool is_empty = PyMemoryView_GET_BUFFER(view)->len == 0 && PyTuple_GET_SIZE(shape) == 1;
        Py_SETREF(view, is_empty ? PyObject_CallMethod(view, "cast", "O", format)
                                 : PyObject_CallMethod(view, "cast", "OO", format, shape));
    }
    Py_XDECREF(shape);
    Py_XDECREF(format);
    return view;
}

static int load_pickle_loads(pyh_codec *codec)
{
    if (codec->pickle_loads == NULL) {
        PyObject *module = PyImport_ImportModule("_pickle");
        codec->pickle_loads = module != NULL ? PyObject_GetAttrString(module, "loads") : NULL;
        Py_XDECREF(module);
    }
    return codec->pickle_loads != NULL ? 0 : -1;
}

static PyObject *take_buffers(decoder *self, uint64_t count)
{
    PyObject *buffers = PyList_New(0);
    for (uint64_t i = 0; buffers != NULL && i < count; i++) {
        PyObject *view = next_buffer(self);
        if (view == NULL || PyList_Append(buffers, view) < 0) {
            Py_CLEAR(buffers);
        }
        Py_XDECREF(view);
    }
    return buffers;
}

static PyObject *decode_pickle(decoder *self)
{
    uint64_t buffer_count;
    Py_ssize_t size;
    if (self->codec->plain) {
        return malformed("a pickle where none is allowed");
    }
    if (pyh_reader_varint(self->reader, &buffer_count) != PYHOST_OK) {
        return malformed("a pickle is cut short");
    }
    const unsigned char *bytes = read_bytes(self, &size);
    PyObject *buffers = bytes != NULL ? take_buffers(self, buffer_count) : NULL;
    PyObject *arguments = NULL, *keywords = NULL, *value = NULL;
    if (buffers != NULL && load_pickle_loads(self->codec) == 0) {
        arguments = Py_BuildValue("(y#)", (const char *)bytes, size);
        keywords = Py_BuildValue("{sO}", "buffers", buffers);
        if (arguments != NULL && keywords != NULL) {
            value = PyObject_Call(self->codec->pickle_loads, arguments, keywords);
        }
    }
    Py_XDECREF(keywords);
    Py_XDECREF(arguments);
    Py_XDECREF(buffers);
    return value;
}

/* The kinds that hold other values. */
static PyObject *decode_nested(decoder *self, unsigned char tag)
{
    PyObject *value;
    if (++self->depth > PYH_CODEC_DEPTH) {
        return malformed("nested too deep");
    }
    switch (tag) {
    case PYH_TAG_LIST:
        value = decode_list(self);
        break;
    case PYH_TAG_TUPLE:
        value = decode_tuple(self);
        break;
    case PYH_TAG_DICT:
        value = decode_dict(self);
        break;
    case PYH_TAG_SET:
        value = decode_set(self, PySet_New(NULL));
        break;
    case PYH_TAG_FROZENSET:
        value = decode_set(self, PyFrozenSet_New(NULL));
        break;
    case PYH_TAG_TIME:
        value = decode_time(self);
        break;
    case PYH_TAG_DATETIME:
        value = decode_datetime(self);
        break;
    case PYH_TAG_TIMEZONE:
        value = decode_timezone(self);
        break;
    case PYH_TAG_MEMORYVIEW:
        value = decode_memoryview(self);
        break;
    default:
        value = malformed("an unknown tag");
        break;
    }
    self->depth--;
    return value;
}

/* Apart from decode_value, which else would save registers for every kind before it looks for an int. */
__attribute__((noinline)) static PyObject *decode_tagged(decoder *self, unsigned char tag)
{
    switch (tag) {
    case PYH_TAG_NONE:
        return Py_NewRef(Py_None);
    case PYH_TAG_TRUE:
        return Py_NewRef(Py_True);
    case PYH_TAG_FALSE:
        return Py_NewRef(Py_False);
    case PYH_TAG_BIG_INT:
        return decode_big_int(self);
    case PYH_TAG_FLOAT:
        return decode_float(self);
    case PYH_TAG_STR:
        return decode_str(self);
    case PYH_TAG_BYTES:
        return decode_bytes(self);
    case PYH_TAG_BYTEARRAY:
        return decode_bytearray(self);
    case PYH_TAG_DATE:
        return decode_date(self);
    case PYH_TAG_TIMEDELTA:
        return decode_timedelta(self);
    case PYH_TAG_PICKLE:
        return decode_pickle(self);
    case PYH_TAG_CHANNEL:
        return decode_channel(self);
    default:
        return decode_nested(self, tag);
    }
}

static PyObject *decode_value(decoder *self)
{
    const unsigned char *tag = read_fixed(self, 1);
    if (tag == NULL) {
        return NULL;
    }
    return *tag == PYH_TAG_INT ? decode_int(self) : decode_tagged(self, *tag);
}

pyhost_status pyh_codec_decode(pyh_codec *codec, pyh_reader *reader, PyObject **value)
{
    decoder self = {.codec = codec, .reader = reader};
    PyObject *result = decode_value(&self);
    if (result == NULL) {
        return PYHOST_MALFORMED;
    }
    *value = result;
    return PYHOST_OK;
}

static int allocate_arguments(pyh_arguments *arguments, size_t total)
{
    PyObject **slots = arguments->inline_values;
    if (total > PYH_ARGUMENTS_INLINE) {
        slots = calloc(total + 1, sizeof *slots);
        if (slots == NULL) {
            PyErr_NoMemory();
            return -1;
        }
    }
    arguments->values = slots + 1;
    return 0;
}

static int decode_keyword(decoder *self, pyh_arguments *arguments, size_t index)
{
    PyObject *name = decode_value(self);
    if (name == NULL) {
        return -1;
    }
    if (!PyUnicode_CheckExact(name)) {
        Py_DECREF(name);
        malformed("a keyword is not a str");
        return -1;
    }
    PyTuple_SET_ITEM(arguments->keyword_names, (Py_ssize_t)index, name);
    return 0;
}

pyhost_status pyh_codec_decode_arguments(pyh_codec *codec, pyh_message *message, pyh_arguments *arguments)
{
    pyh_reader reader = pyh_reader_make(message);
    decoder self = {.codec = codec, .reader = &reader};
    Py_ssize_t count = read_count(&self);
    Py_ssize_t keyword_count = count >= 0 ? read_count(&self) : -1;
    arguments->values = NULL;
    arguments->total = 0;
    arguments->keyword_names = NULL;
    if (keyword_count < 0 || allocate_arguments(arguments, (size_t)(count + keyword_count)) < 0) {
        return PYHOST_MALFORMED;
    }
    arguments->count = (size_t)count;
    if (keyword_count > 0 && (arguments->keyword_names = PyTuple_New(keyword_count)) == NULL) {
        goto fail;
    }
    for (Py_ssize_t i = 0; i < count + keyword_count; i++) {
        if (i >= count && decode_keyword(&self, arguments, (size_t)(i - count)) < 0) {
            goto fail;
        }
        PyObject *value = decode_value(&self);
        if (value == NULL) {
            goto fail;
        }
        arguments->values[arguments->total++] = value;
    }
    if (pyh_reader_left(&reader) > 0) {
        malformed("bytes are left after the arguments");
        goto fail;
    }
    return PYHOST_OK;

fail:
    pyh_arguments_clear(arguments);
    return PYHOST_MALFORMED;
}

void pyh_arguments_clear(pyh_arguments *arguments)
{
    for (size_t i = 0; i < arguments->total; i++) {
        Py_DECREF(arguments->values[i]);
    }
    Py_CLEAR(arguments->keyword_names);
    if (arguments->values != NULL && arguments->values != arguments->inline_values + 1) {
        free(arguments->values - 1);
    }
    arguments->values = NULL;
    arguments->total = 0;
}
