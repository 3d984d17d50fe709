/* codecs: a codec of the main interpreter, and messages from bytes, for the codec's tests and its fuzzer. */
#ifndef PYH_TEST_CODECS_H
#define PYH_TEST_CODECS_H

#include "buffer.h"
#include "codec.h"
#include "core.h"
#include "core_channel.h"
#include "embed.h"

/* _core.Channel without its module; for as long as the program. */
static inline PyTypeObject *codec_channel_type(pyh_codec *codec)
{
    static PyTypeObject *type;
    (void)codec;
    if (type == NULL) {
        type = (PyTypeObject *)PyType_FromSpec(&pyh_channel_spec);
    }
    return type;
}

/* Puts a new channel into __main__ as `channel`; borrowed, it has a reference. */
static inline pyh_value_channel *codec_put_channel(void)
{
    pyh_value_channel *channel = pyh_value_channel_new(4);
    PyObject *object = pyh_core_wrap_channel(codec_channel_type(NULL), channel);
    CHECK_EQUAL(PyObject_SetAttrString(PyImport_AddModule("__main__"), "channel", object), 0);
    Py_DECREF(object);
    pyh_value_channel_unref(channel);
    return channel;
}

static inline pyh_codec codec_make(bool plain)
{
    pyh_codec codec = {
        .buffer_type = (PyTypeObject *)PyType_FromSpec(&pyh_buffer_spec),
        .channel_type = codec_channel_type,
        .plain = plain,
    };
    embed_check_no_exception("making _core.Buffer");
    return codec;
}

static inline pyh_message *codec_message(const void *bytes, size_t size)
{
    pyh_writer writer = {0};
    pyh_message *message = NULL;
    pyh_writer_bytes(&writer, bytes, size);
    CHECK_STATUS(pyh_writer_finish(&writer, &message), PYHOST_OK);
    return message;
}

/* The message of an expression's value. */
static inline pyh_message *codec_encode(pyh_codec *codec, const char *expression)
{
    pyh_message *message = NULL;
    PyObject *value = embed_eval(expression);
    pyhost_status status = pyh_codec_encode_message(codec, value, &message);
    embed_check_no_exception(expression);
    CHECK_STATUS(status, PYHOST_OK);
    Py_DECREF(value);
    return message;
}

#endif
