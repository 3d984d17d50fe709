/* codec: Python values to messages and back.
 *
 * Exact None, bool, int, float, str, bytes, bytearray, list, tuple, dict, set, frozenset, memoryview, the datetime
 * kinds and _core.Channel have a form of their own; everything else goes by pickle protocol 5 with its buffers beside
 * the payload. Values are copied, but for channels: shared references arrive as equal copies, and a cycle exceeds the
 * depth.
 *
 * All functions: the GIL of the codec's own interpreter is held. On a failure a Python exception of that interpreter is
 * set and says what was wrong. Bytes that no encoder made give MALFORMED, never a crash; pickles are trusted, unless
 * the codec is plain. */
#ifndef PYH_CODEC_H
#define PYH_CODEC_H

#include <Python.h>

#include <stdbool.h>

#include "message.h"

/* Containers nest at most this deep. */
#define PYH_CODEC_DEPTH 500

/* What one interpreter needs to encode and decode. Owned by that interpreter; zeroed memory is an empty codec.
 * All but the first three are filled at first use, so that nobody imports pickle or datetime in vain. */
typedef struct pyh_codec {
    PyTypeObject *buffer_type; /* _core.Buffer, see buffer.h */
    /* _core.Channel, which it makes at first use; borrowed, NULL with an exception set. Without this function channels
     * are refused both ways. */
    PyTypeObject *(*channel_type)(struct pyh_codec *codec);
    bool plain; /* refuse pickle both ways: for bytes from outside the process */
    PyObject *pickle_dumps;
    PyObject *pickle_loads;
    PyObject *date_type;
    PyObject *time_type;
    PyObject *datetime_type;
    PyObject *timedelta_type;
    PyObject *timezone_type;
} pyh_codec;

void pyh_codec_clear(pyh_codec *codec);
int pyh_codec_traverse(pyh_codec *codec, visitproc visit, void *arg);
/* Imports datetime and fills its types. -1 with an exception set. */
int pyh_codec_load_datetime(pyh_codec *codec);

/* Appends one value. OK or UNENCODABLE. The writer is left as far as it got: discard it. */
pyhost_status pyh_codec_encode(pyh_codec *codec, pyh_writer *writer, PyObject *value);
/* Reads one value; a new reference. */
pyhost_status pyh_codec_decode(pyh_codec *codec, pyh_reader *reader, PyObject **value);

/* One value as a whole message, and back; the reader must be used up. */
pyhost_status pyh_codec_encode_message(pyh_codec *codec, PyObject *value, pyh_message **message);
pyhost_status pyh_codec_decode_message(pyh_codec *codec, pyh_message *message, PyObject **value);

/* The arguments of a call, in the form of vectorcall: count positional ones, then one for each of keyword_names
 * (a tuple of str, or NULL). All borrowed. On UNENCODABLE *failed is the index of the one at fault. */
pyhost_status pyh_codec_encode_arguments(pyh_codec *codec, pyh_writer *writer, PyObject *const *arguments, size_t count,
                                         PyObject *keyword_names, size_t *failed);

/* The most arguments that are kept without a malloc. */
enum { PYH_ARGUMENTS_INLINE = 8 };

typedef struct pyh_arguments {
    PyObject *inline_values[PYH_ARGUMENTS_INLINE + 1];
    PyObject **values; /* one free slot before the first, as PY_VECTORCALL_ARGUMENTS_OFFSET wants */
    size_t count;      /* positional */
    size_t total;      /* positional and keyword */
    PyObject *keyword_names;
} pyh_arguments;

/* On OK the arguments own their values: clear them. On failure nothing is owned. */
pyhost_status pyh_codec_decode_arguments(pyh_codec *codec, pyh_message *message, pyh_arguments *arguments);
void pyh_arguments_clear(pyh_arguments *arguments);

#endif
