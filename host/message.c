/* message: see message.h. The writer grows one allocation that becomes the message itself, so a small message costs
 * one malloc and no copy. */
#include "message.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 192, MOST_SPARE = 2 };

/* Small messages that this thread dropped, for the next ones that it writes: a call that is made and answered on one
 * thread, which has a request and a reply, needs no allocation. */
static _Thread_local struct {
    pyh_message *messages[MOST_SPARE]; /* owned */
    uint32_t count;
    enum { MAY_KEEP, KEEPS, NEVER_KEEPS } state;
} spare;

bool pyh_message_keeps_spares = true;
static pthread_key_t thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool has_key;

static void forget_thread(void *unused)
{
    (void)unused;
    while (spare.count > 0) {
        free(spare.messages[--spare.count]);
    }
    spare.state = NEVER_KEEPS;
}

static void make_key(void)
{
    has_key = pthread_key_create(&thread_end, forget_thread) == 0;
}

__attribute__((cold)) static void decide_to_keep(void)
{
    pthread_once(&once, make_key);
    bool keeps = pyh_message_keeps_spares && has_key && pthread_setspecific(thread_end, &spare) == 0;
    spare.state = keeps ? KEEPS : NEVER_KEEPS;
}

/* Whether this thread keeps some, which are freed at its end. */
static bool keeps_spares(void)
{
    if (spare.state == MAY_KEEP) {
        decide_to_keep();
    }
    return spare.state == KEEPS;
}

static void drop(pyh_message *message)
{
    if (message->capacity == FIRST_CAPACITY && spare.count < MOST_SPARE && keeps_spares()) {
        spare.messages[spare.count++] = message;
    } else {
        free(message);
    }
}

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

__attribute__((noinline)) static void release_buffers(pyh_message *message)
{
    for (uint32_t i = 0; i < message->buffer_count; i++) {
        release(&message->buffers[i]);
    }
    free(message->buffers);
}

pyh_message *pyh_message_unref(pyh_message *message)
{
    /* Nobody can take a reference beside the only one, so that one is dropped without an exchange. */
    if (message != NULL && (atomic_load_explicit(&message->references, memory_order_acquire) == 1 ||
                            atomic_fetch_sub_explicit(&message->references, 1, memory_order_acq_rel) == 1)) {
        if (message->buffers != NULL) {
            release_buffers(message);
        }
        drop(message);
    }
    return NULL;
}

/* One of the smallest capacity, a spare one of the thread's if it has some. */
static pyh_message *take_small(void)
{
    pyh_message *message =
        spare.count > 0 ? spare.messages[--spare.count] : malloc(sizeof *message + FIRST_CAPACITY);
    if (message != NULL) {
        *message = (pyh_message){.references = 1, .capacity = FIRST_CAPACITY};
    }
    return message;
}

/* Room for so many bytes in all; NULL: no memory, and the message is as it was. */
__attribute__((cold)) static pyh_message *grow(pyh_message *message, size_t wanted)
{
    size_t capacity = message->capacity;
    while (capacity < wanted) {
        capacity *= 2;
    }
    pyh_message *grown = realloc(message, sizeof *message + capacity);
    if (grown != NULL) {
        grown->capacity = capacity;
    }
    return grown;
}

unsigned char *pyh_writer_make_room(pyh_writer *writer, size_t size)
{
    if (writer->status != PYHOST_OK) {
        return NULL;
    }
    if (writer->message == NULL) {
        writer->message = take_small();
    }
    pyh_message *message = writer->message;
    if (message != NULL && message->capacity - message->size < size) {
        message = size <= PYH_MESSAGE_LIMIT - message->size ? grow(message, message->size + size) : NULL;
    }
    if (message == NULL) {
        writer->status = PYHOST_NO_MEMORY;
        return NULL;
    }
    writer->message = message;
    unsigned char *at = message->payload + message->size;
    message->size += size;
    return at;
}

void pyh_writer_bytes(pyh_writer *writer, const void *bytes, size_t size)
{
    unsigned char *at = pyh_writer_reserve(writer, size);
    if (at != NULL && size > 0) {
        memcpy(at, bytes, size);
    }
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

pyhost_status pyh_reader_long_varint(pyh_reader *reader, uint64_t *value)
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
