/* message: see message.h. The writer grows one allocation that becomes the message itself, so a small message costs
 * one malloc and no copy. */
#include "message.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 192, VARINT_MOST = 10 };

pyh_message *pyh_message_ref(pyh_message *message)
{
    atomic_fetch_add_explicit(&message->references, 1, memory_order_relaxed);
    return message;
}

static void release(pyh_buffer *buffer)
{
    if (buffer->release != NULL) {
        buffer->release(buffer->context, buffer->data);
    } else {
        free(buffer->data);
    }
}

pyh_message *pyh_message_unref(pyh_message *message)
{
    if (message != NULL && atomic_fetch_sub_explicit(&message->references, 1, memory_order_acq_rel) == 1) {
        for (uint32_t i = 0; i < message->buffer_count; i++) {
            release(&message->buffers[i]);
        }
        free(message->buffers);
        free(message);
    }
    return NULL;
}

static void writer_grow(pyh_writer *writer, size_t wanted)
{
    size_t capacity = writer->capacity > 0 ? writer->capacity : FIRST_CAPACITY;
    while (capacity < wanted) {
        capacity *= 2;
    }
    pyh_message *message = realloc(writer->message, sizeof *message + capacity);
    if (message == NULL) {
        writer->status = PYHOST_NO_MEMORY;
        return;
    }
    if (writer->message == NULL) {
        *message = (pyh_message){.references = 1};
    }
    writer->message = message;
    writer->capacity = capacity;
}

unsigned char *pyh_writer_reserve(pyh_writer *writer, size_t size)
{
    size_t used = writer->message != NULL ? writer->message->size : 0;
    if (writer->status == PYHOST_OK && size > PYH_MESSAGE_LIMIT - used) {
        writer->status = PYHOST_NO_MEMORY;
    }
    if (writer->status == PYHOST_OK && (writer->message == NULL || writer->capacity - used < size)) {
        writer_grow(writer, used + size);
    }
    if (writer->status != PYHOST_OK) {
        return NULL;
    }
    writer->message->size = used + size;
    return writer->message->payload + used;
}

void pyh_writer_bytes(pyh_writer *writer, const void *bytes, size_t size)
{
    unsigned char *at = pyh_writer_reserve(writer, size);
    if (at != NULL && size > 0) {
        memcpy(at, bytes, size);
    }
}

void pyh_writer_byte(pyh_writer *writer, unsigned char byte)
{
    unsigned char *at = pyh_writer_reserve(writer, 1);
    if (at != NULL) {
        *at = byte;
    }
}

void pyh_writer_varint(pyh_writer *writer, uint64_t value)
{
    unsigned char bytes[VARINT_MOST];
    size_t size = 0;
    while (value >= 0x80) {
        bytes[size++] = (unsigned char)(value | 0x80);
        value >>= 7;
    }
    bytes[size++] = (unsigned char)value;
    pyh_writer_bytes(writer, bytes, size);
}

void pyh_writer_share(pyh_writer *writer, pyh_buffer buffer)
{
    pyh_message *message = pyh_writer_reserve(writer, 0) != NULL ? writer->message : NULL;
    pyh_buffer *buffers = NULL;
    if (message != NULL && buffer.size <= PYH_MESSAGE_LIMIT) {
        buffers = realloc(message->buffers, (message->buffer_count + 1) * sizeof *buffers);
    }
    if (buffers == NULL) {
        writer->status = writer->status != PYHOST_OK ? writer->status : PYHOST_NO_MEMORY;
        release(&buffer);
        return;
    }
    message->buffers = buffers;
    buffers[message->buffer_count++] = buffer;
}

void pyh_writer_buffer(pyh_writer *writer, const void *data, size_t size)
{
    if (pyh_writer_reserve(writer, 0) == NULL) {
        return;
    }
    void *copy = size <= PYH_MESSAGE_LIMIT ? malloc(size > 0 ? size : 1) : NULL;
    if (copy == NULL) {
        writer->status = PYHOST_NO_MEMORY;
        return;
    }
    if (size > 0) {
        memcpy(copy, data, size);
    }
    pyh_writer_share(writer, (pyh_buffer){.data = copy, .size = size});
}

pyhost_status pyh_writer_finish(pyh_writer *writer, pyh_message **message)
{
    if (pyh_writer_reserve(writer, 0) == NULL) {
        pyhost_status status = writer->status;
        pyh_writer_discard(writer);
        return status;
    }
    *message = writer->message;
    *writer = (pyh_writer){0};
    return PYHOST_OK;
}

void pyh_writer_discard(pyh_writer *writer)
{
    pyh_message_unref(writer->message);
    *writer = (pyh_writer){0};
}

pyh_reader pyh_reader_make(pyh_message *message)
{
    return (pyh_reader){.at = message->payload, .end = message->payload + message->size, .message = message};
}

size_t pyh_reader_left(const pyh_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

const unsigned char *pyh_reader_bytes(pyh_reader *reader, size_t size)
{
    if (size > pyh_reader_left(reader)) {
        return NULL;
    }
    const unsigned char *bytes = reader->at;
    reader->at += size;
    return bytes;
}

pyhost_status pyh_reader_varint(pyh_reader *reader, uint64_t *value)
{
    uint64_t result = 0;
    for (unsigned shift = 0; shift < 64 && reader->at < reader->end; shift += 7) {
        unsigned char byte = *reader->at++;
        if (shift == 63 && byte > 1) {
            return PYHOST_MALFORMED;
        }
        result |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = result;
            return PYHOST_OK;
        }
    }
    return PYHOST_MALFORMED;
}
