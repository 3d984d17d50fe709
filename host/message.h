/* message: immutable bytes, plus buffers beside them, that cross between interpreters.
 *
 * Allocated outside every interpreter (malloc), reference counted atomically; any thread, GIL held or not. Written
 * once through a writer, then never changed. */
#ifndef PYH_MESSAGE_H
#define PYH_MESSAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pyhost.h"

/* A message's payload is at most this long, as is each buffer's. */
#define PYH_MESSAGE_LIMIT ((size_t)1 << 31)

typedef struct pyh_buffer {
    void *data; /* owned by the message */
    size_t size;
    pyhost_release_function *release; /* instead of free(); called once nobody needs the data */
    void *context;
} pyh_buffer;

typedef struct pyh_message {
    /* atomic: relaxed to take, release/acquire to drop */
    _Atomic uint32_t references;
    /* fixed once written */
    uint32_t buffer_count;
    pyh_buffer *buffers;
    size_t size;
    size_t capacity; /* bytes that the payload has room for */
    unsigned char payload[];
} pyh_message;

/* Whether threads keep small messages for the next ones that they write; what counts allocations does without. Set
 * before the first message. */
extern bool pyh_message_keeps_spares;

pyh_message *pyh_message_ref(pyh_message *message);
/* Drops one reference; NULL is accepted. Returns NULL. */
pyh_message *pyh_message_unref(pyh_message *message);

/* Builds one message. Zeroed memory is an empty writer. The first failure sticks: later writes do nothing, and
 * finish returns it. One thread at a time. */
typedef struct pyh_writer {
    pyh_message *message;
    pyhost_status status;
} pyh_writer;

/* The slow way of reserve: there is no room yet, or has been a failure. */
unsigned char *pyh_writer_make_room(pyh_writer *writer, size_t size);

/* Makes room for size bytes and returns where to write them, or NULL after a failure. Valid until the next write. */
static inline unsigned char *pyh_writer_reserve(pyh_writer *writer, size_t size)
{
    pyh_message *message = writer->message;
    if (message == NULL || message->capacity - message->size < size || writer->status != PYHOST_OK) {
        return pyh_writer_make_room(writer, size);
    }
    unsigned char *at = message->payload + message->size;
    message->size += size;
    return at;
}

void pyh_writer_bytes(pyh_writer *writer, const void *bytes, size_t size);

static inline void pyh_writer_byte(pyh_writer *writer, unsigned char byte)
{
    unsigned char *at = pyh_writer_reserve(writer, 1);
    if (at != NULL) {
        *at = byte;
    }
}

/* The longest varint, in bytes. */
enum { PYH_VARINT_MOST = 10 };

/* Writes a varint, LEB128: seven bits a byte, low ones first; returns where it ends. */
static inline unsigned char *pyh_varint_put(unsigned char *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (unsigned char)(value | 0x80);
        value >>= 7;
    }
    *at++ = (unsigned char)value;
    return at;
}

static inline void pyh_writer_varint(pyh_writer *writer, uint64_t value)
{
    unsigned char *at = pyh_writer_reserve(writer, PYH_VARINT_MOST);
    if (at != NULL) {
        writer->message->size -= (size_t)(at + PYH_VARINT_MOST - pyh_varint_put(at, value));
    }
}

/* A tag and a varint, with one look for room. */
static inline void pyh_writer_tagged(pyh_writer *writer, unsigned char tag, uint64_t value)
{
    unsigned char *at = pyh_writer_reserve(writer, 1 + PYH_VARINT_MOST);
    if (at != NULL) {
        at[0] = tag;
        writer->message->size -= (size_t)(at + 1 + PYH_VARINT_MOST - pyh_varint_put(at + 1, value));
    }
}

/* Copies size bytes into a new buffer beside the payload. */
void pyh_writer_buffer(pyh_writer *writer, const void *data, size_t size);
/* Makes the data a buffer beside the payload without a copy; it is released as the buffer says, after a failure, too. */
void pyh_writer_share(pyh_writer *writer, pyh_buffer buffer);
/* On OK the message is the caller's. Whatever the outcome, the writer is empty again. */
pyhost_status pyh_writer_finish(pyh_writer *writer, pyh_message **message);
/* Drops what was written. */
void pyh_writer_discard(pyh_writer *writer);

/* Reads a message's payload from the front. Never reads past the end. */
typedef struct pyh_reader {
    const unsigned char *at;
    const unsigned char *end;
    pyh_message *message; /* borrowed; its buffers are taken in order */
    uint32_t next_buffer;
} pyh_reader;

pyh_reader pyh_reader_make(pyh_message *message);

static inline size_t pyh_reader_left(const pyh_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

/* The next size bytes, or NULL when there are fewer. */
static inline const unsigned char *pyh_reader_bytes(pyh_reader *reader, size_t size)
{
    if (size > pyh_reader_left(reader)) {
        return NULL;
    }
    const unsigned char *bytes = reader->at;
    reader->at += size;
    return bytes;
}

/* One that is longer than a byte, or cut short. */
pyhost_status pyh_reader_long_varint(pyh_reader *reader, uint64_t *value);

/* OK or MALFORMED (cut short, or over 64 bits). */
static inline pyhost_status pyh_reader_varint(pyh_reader *reader, uint64_t *value)
{
    if (reader->at < reader->end && *reader->at < 0x80) {
        *value = *reader->at++;
        return PYHOST_OK;
    }
    return pyh_reader_long_varint(reader, value);
}

#endif
