/* codecs: a codec of the main interpreter, and messages from bytes, for the codec's tests and its fuzzer. */
#ifndef PYH_TEST_CODECS_H
#define PYH_TEST_CODECS_H

#include "buffer.h"
#include "codec.h"
#include "embed.h"

static inline pyh_codec codec_make(bool plain)
{
    pyh_codec codec = {.buffer_type = (PyTypeObject *)PyType_FromSpec(&pyh_buffer_spec), .plain = plain};
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
