/* api_builder: values without Python, in the codec's form (codec_format.h).
 *
 * What a builder holds begins with room for the two counts of a call's arguments, a byte each; a value of its own leaves
 * that out. Counts are not known before their values, so those of containers are varints of a fixed five bytes. */
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "codec.h"
#include "codec_format.h"

enum { COUNT_SIZE = 5, HEADER_SIZE = 2, SHORT_COUNT = 0x80 };

/* How many levels the parts of a value take, as the decoder counts them: a timezone is one and has a tuple of its
 * arguments, a memoryview one of its extents. */
enum { TIMEZONE_LEVELS = 2, MEMORYVIEW_LEVELS = 2 };

/* An open container. */
typedef struct {
    pyhost_kind kind;
    size_t count_at; /* where in the payload its count stands */
    size_t count;    /* values in it */
} frame;

struct pyhost_builder {
    pyh_writer writer;
    pyhost_status status; /* the first failure */
    size_t positional;
    size_t keywords;
    bool names_next; /* a keyword's name is written, its value is next */
    frame *frames;   /* owned */
    size_t depth;
    size_t frame_capacity;
};

pyhost_builder *pyhost_builder_new(void)
{
    return calloc(1, sizeof(pyhost_builder));
}

void pyhost_builder_free(pyhost_builder *builder)
{
    if (builder != NULL) {
        pyh_writer_discard(&builder->writer);
        free(builder->frames);
        free(builder);
    }
}

static void forget(pyhost_builder *builder)
{
    builder->status = PYHOST_OK;
    builder->positional = 0;
    builder->keywords = 0;
    builder->names_next = false;
    builder->depth = 0;
}

void pyhost_builder_clear(pyhost_builder *builder)
{
    if (builder != NULL) {
        pyh_writer_discard(&builder->writer);
        forget(builder);
    }
}

bool pyh_builder_is_empty(const pyhost_builder *builder)
{
    return builder->status == PYHOST_OK && builder->writer.message == NULL;
}

static pyhost_status fail(pyhost_builder *builder, pyhost_status status)
{
    if (builder->status == PYHOST_OK) {
        builder->status = status;
    }
    return builder->status;
}

/* What has come of writing. */
static pyhost_status outcome(pyhost_builder *builder)
{
    return builder->writer.status == PYHOST_OK ? builder->status : fail(builder, builder->writer.status);
}

static void write_header(pyhost_builder *builder)
{
    if (builder->writer.message == NULL) {
        pyh_writer_reserve(&builder->writer, HEADER_SIZE);
    }
}

/* A value is about to be written here. */
static pyhost_status begin(pyhost_builder *builder)
{
    if (builder->status != PYHOST_OK) {
        return builder->status;
    }
    write_header(builder);
    if (builder->depth > 0) {
        builder->frames[builder->depth - 1].count++;
    } else if (builder->names_next) {
        builder->names_next = false;
        builder->keywords++;
    } else if (builder->keywords > 0) {
        return fail(builder, PYHOST_MISUSED);
    } else {
        builder->positional++;
    }
    return outcome(builder);
}

static pyhost_status begin_tagged(pyhost_builder *builder, pyh_tag tag)
{
    pyhost_status status = begin(builder);
    if (status == PYHOST_OK) {
        pyh_writer_byte(&builder->writer, (unsigned char)tag);
    }
    return status;
}

/* The same for a value that takes levels of its own. */
static pyhost_status begin_nested(pyhost_builder *builder, pyh_tag tag, size_t levels)
{
    if (builder->depth + levels > PYH_CODEC_DEPTH) {
        return fail(builder, PYHOST_MISUSED);
    }
    return begin_tagged(builder, tag);
}

static pyhost_status add_bytes(pyhost_builder *builder, pyh_tag tag, const void *bytes, size_t size)
{
    if (begin(builder) == PYHOST_OK) {
        pyh_writer_tagged(&builder->writer, tag, size);
        pyh_writer_bytes(&builder->writer, bytes, size);
    }
    return outcome(builder);
}

pyhost_status pyhost_builder_none(pyhost_builder *builder)
{
    begin_tagged(builder, PYH_TAG_NONE);
    return outcome(builder);
}

pyhost_status pyhost_builder_bool(pyhost_builder *builder, bool value)
{
    begin_tagged(builder, value ? PYH_TAG_TRUE : PYH_TAG_FALSE);
    return outcome(builder);
}

pyhost_status pyhost_builder_int(pyhost_builder *builder, int64_t value)
{
    if (begin(builder) == PYHOST_OK) {
        pyh_writer_tagged(&builder->writer, PYH_TAG_INT, pyh_zigzag(value));
    }
    return outcome(builder);
}

pyhost_status pyhost_builder_uint(pyhost_builder *builder, uint64_t value)
{
    if (value <= INT64_MAX) {
        return pyhost_builder_int(builder, (int64_t)value);
    }
    unsigned char bytes[sizeof value + 1] = {0};
    for (size_t i = 0; i < sizeof value; i++) {
        bytes[i] = (unsigned char)(value >> 8 * i);
    }
    return pyhost_builder_big_int(builder, bytes, sizeof bytes);
}

pyhost_status pyhost_builder_big_int(pyhost_builder *builder, const void *bytes, size_t size_bytes)
{
    return size_bytes > 0 ? add_bytes(builder, PYH_TAG_BIG_INT, bytes, size_bytes) : fail(builder, PYHOST_MISUSED);
}

pyhost_status pyhost_builder_float(pyhost_builder *builder, double value)
{
    if (begin_tagged(builder, PYH_TAG_FLOAT) == PYHOST_OK) {
        uint64_t bits;
        unsigned char bytes[sizeof bits];
        memcpy(&bits, &value, sizeof bits);
        for (size_t i = 0; i < sizeof bits; i++) {
            bytes[i] = (unsigned char)(bits >> 8 * i);
        }
        pyh_writer_bytes(&builder->writer, bytes, sizeof bytes);
    }
    return outcome(builder);
}

pyhost_status pyhost_builder_str(pyhost_builder *builder, const char *text, size_t size_bytes)
{
    return add_bytes(builder, PYH_TAG_STR, text, size_bytes);
}

pyhost_status pyhost_builder_bytes(pyhost_builder *builder, const void *bytes, size_t size_bytes)
{
    return add_bytes(builder, PYH_TAG_BYTES, bytes, size_bytes);
}

pyhost_status pyhost_builder_bytearray(pyhost_builder *builder, const void *bytes, size_t size_bytes)
{
    return add_bytes(builder, PYH_TAG_BYTEARRAY, bytes, size_bytes);
}

static pyhost_status check_time(const pyhost_time *time)
{
    if (time->zone == PYHOST_ZONE_OTHER) {
        return PYHOST_MISUSED;
    }
    return pyh_time_is_valid(time) ? PYHOST_OK : PYHOST_OUT_OF_RANGE;
}

/* The zone is a level below the time. */
static size_t levels_of_time(const pyhost_time *time)
{
    return time->zone == PYHOST_ZONE_FIXED ? 1 + TIMEZONE_LEVELS : 1;
}

static void write_date(pyh_writer *writer, const pyhost_date *date)
{
    const unsigned char bytes[PYH_DATE_SIZE] = {
        (unsigned char)(date->year & 0xff),
        (unsigned char)(date->year >> 8),
        date->month,
        date->day,
    };
    pyh_writer_bytes(writer, bytes, sizeof bytes);
}

static void write_timedelta(pyh_writer *writer, const pyhost_timedelta *timedelta)
{
    pyh_writer_tagged(writer, PYH_TAG_TIMEDELTA, pyh_zigzag(timedelta->days));
    pyh_writer_varint(writer, timedelta->seconds);
    pyh_writer_varint(writer, timedelta->microseconds);
}

/* A timezone, without its tag: a tuple with its offset. */
static void write_offset(pyh_writer *writer, int64_t offset_us)
{
    int64_t days = offset_us < 0 ? -1 : 0;
    int64_t rest_us = offset_us - days * INT64_C(86400000000);
    pyhost_timedelta offset = {
        .days = days,
        .seconds = (uint32_t)(rest_us / 1000000),
        .microseconds = (uint32_t)(rest_us % 1000000),
    };
    pyh_writer_tagged(writer, PYH_TAG_TUPLE, 1);
    write_timedelta(writer, &offset);
}

static void write_time(pyh_writer *writer, const pyhost_time *time)
{
    const unsigned char bytes[PYH_TIME_SIZE] = {
        time->hour,
        time->minute,
        time->second,
        (unsigned char)(time->microsecond & 0xff),
        (unsigned char)(time->microsecond >> 8 & 0xff),
        (unsigned char)(time->microsecond >> 16),
        time->fold,
    };
    pyh_writer_bytes(writer, bytes, sizeof bytes);
    if (time->zone == PYHOST_ZONE_NONE) {
        pyh_writer_byte(writer, PYH_TAG_NONE);
    } else {
        pyh_writer_byte(writer, PYH_TAG_TIMEZONE);
        write_offset(writer, time->offset_us);
    }
}

pyhost_status pyhost_builder_date(pyhost_builder *builder, const pyhost_date *date)
{
    if (!pyh_date_is_valid(date)) {
        return fail(builder, PYHOST_OUT_OF_RANGE);
    }
    if (begin_tagged(builder, PYH_TAG_DATE) == PYHOST_OK) {
        write_date(&builder->writer, date);
    }
    return outcome(builder);
}

pyhost_status pyhost_builder_time(pyhost_builder *builder, const pyhost_time *time)
{
    pyhost_status status = check_time(time);
    if (status != PYHOST_OK) {
        return fail(builder, status);
    }
    if (begin_nested(builder, PYH_TAG_TIME, levels_of_time(time)) == PYHOST_OK) {
        write_time(&builder->writer, time);
    }
    return outcome(builder);
}

pyhost_status pyhost_builder_datetime(pyhost_builder *builder, const pyhost_datetime *datetime)
{
    pyhost_status status = pyh_date_is_valid(&datetime->date) ? check_time(&datetime->time) : PYHOST_OUT_OF_RANGE;
    if (status != PYHOST_OK) {
        return fail(builder, status);
    }
    if (begin_nested(builder, PYH_TAG_DATETIME, levels_of_time(&datetime->time)) == PYHOST_OK) {
        write_date(&builder->writer, &datetime->date);
        write_time(&builder->writer, &datetime->time);
    }
    return outcome(builder);
}

pyhost_status pyhost_builder_timedelta(pyhost_builder *builder, const pyhost_timedelta *timedelta)
{
    if (!pyh_timedelta_is_valid(timedelta)) {
        return fail(builder, PYHOST_OUT_OF_RANGE);
    }
    if (builder->status == PYHOST_OK && begin(builder) == PYHOST_OK) {
        write_timedelta(&builder->writer, timedelta);
    }
    return outcome(builder);
}

pyhost_status pyhost_builder_timezone(pyhost_builder *builder, int64_t offset_us)
{
    if (!pyh_offset_is_valid(offset_us)) {
        return fail(builder, PYHOST_OUT_OF_RANGE);
    }
    if (begin_nested(builder, PYH_TAG_TIMEZONE, TIMEZONE_LEVELS) == PYHOST_OK) {
        write_offset(&builder->writer, offset_us);
    }
    return outcome(builder);
}

static void keep(void *context, void *data)
{
    (void)context;
    (void)data;
}

pyhost_status pyhost_builder_buffer(pyhost_builder *builder, void *data, size_t size_bytes, char format,
                                    const size_t *shape, size_t dimensions, pyhost_release_function *release,
                                    void *context)
{
    size_t item_bytes = pyh_item_size(format);
    size_t one_dimension = item_bytes > 0 ? size_bytes / item_bytes : 0;
    pyh_buffer buffer = {.data = data, .size = size_bytes, .release = release != NULL ? release : keep};
    buffer.context = context;
    if (shape == NULL) {
        shape = &one_dimension;
        dimensions = 1;
    }
    bool fits = item_bytes > 0 && dimensions > 0 && pyh_shape_is_valid(size_bytes, format, shape, dimensions);
    if (!fits || dimensions > PYHOST_DIMENSIONS) {
        fail(builder, PYHOST_MISUSED);
    }
    if (begin_nested(builder, PYH_TAG_MEMORYVIEW, MEMORYVIEW_LEVELS) != PYHOST_OK) {
        buffer.release(buffer.context, buffer.data);
        return builder->status;
    }
    pyh_writer *writer = &builder->writer;
    pyh_writer_tagged(writer, PYH_TAG_STR, 1);
    pyh_writer_byte(writer, (unsigned char)format);
    pyh_writer_tagged(writer, PYH_TAG_TUPLE, dimensions);
    for (size_t i = 0; i < dimensions; i++) {
        pyh_writer_tagged(writer, PYH_TAG_INT, pyh_zigzag((int64_t)shape[i]));
    }
    pyh_writer_share(writer, buffer);
    return outcome(builder);
}

pyhost_status pyhost_builder_channel(pyhost_builder *builder, const pyhost_channel *channel)
{
    if (begin_tagged(builder, PYH_TAG_CHANNEL) == PYHOST_OK) {
        pyh_writer_share(&builder->writer, pyh_value_channel_as_buffer(pyh_channel_of(channel)));
    }
    return outcome(builder);
}

static bool tag_of_container(pyhost_kind kind, pyh_tag *tag)
{
    switch (kind) {
    case PYHOST_KIND_LIST:
        *tag = PYH_TAG_LIST;
        return true;
    case PYHOST_KIND_TUPLE:
        *tag = PYH_TAG_TUPLE;
        return true;
    case PYHOST_KIND_SET:
        *tag = PYH_TAG_SET;
        return true;
    case PYHOST_KIND_FROZENSET:
        *tag = PYH_TAG_FROZENSET;
        return true;
    case PYHOST_KIND_DICT:
        *tag = PYH_TAG_DICT;
        return true;
    default:
        return false;
    }
}

static pyhost_status reserve_frame(pyhost_builder *builder)
{
    if (builder->depth == PYH_CODEC_DEPTH) {
        return fail(builder, PYHOST_MISUSED);
    }
    if (builder->depth == builder->frame_capacity) {
        size_t capacity = builder->frame_capacity > 0 ? 2 * builder->frame_capacity : 8;
        frame *frames = realloc(builder->frames, capacity * sizeof *frames);
        if (frames == NULL) {
            return fail(builder, PYHOST_NO_MEMORY);
        }
        builder->frames = frames;
        builder->frame_capacity = capacity;
    }
    return PYHOST_OK;
}

pyhost_status pyhost_builder_open(pyhost_builder *builder, pyhost_kind kind)
{
    pyh_tag tag;
    if (!tag_of_container(kind, &tag)) {
        return fail(builder, PYHOST_MISUSED);
    }
    if (reserve_frame(builder) == PYHOST_OK && begin_tagged(builder, tag) == PYHOST_OK &&
        pyh_writer_reserve(&builder->writer, COUNT_SIZE) != NULL) {
        size_t count_at = builder->writer.message->size - COUNT_SIZE;
        builder->frames[builder->depth++] = (frame){.kind = kind, .count_at = count_at};
    }
    return outcome(builder);
}

/* A varint that takes all of its five bytes. */
static void write_count(unsigned char *at, size_t count)
{
    for (int i = 0; i < COUNT_SIZE; i++) {
        at[i] = (unsigned char)((count >> 7 * i & 0x7f) | (i < COUNT_SIZE - 1 ? 0x80 : 0));
    }
}

pyhost_status pyhost_builder_close(pyhost_builder *builder)
{
    if (builder->status != PYHOST_OK) {
        return builder->status;
    }
    if (builder->depth == 0) {
        return fail(builder, PYHOST_MISUSED);
    }
    frame *closed = &builder->frames[builder->depth - 1];
    if (closed->kind == PYHOST_KIND_DICT && closed->count % 2 != 0) {
        return fail(builder, PYHOST_MISUSED);
    }
    builder->depth--;
    size_t count = closed->kind == PYHOST_KIND_DICT ? closed->count / 2 : closed->count;
    write_count(builder->writer.message->payload + closed->count_at, count);
    return outcome(builder);
}

static void unref_message(void *context, void *data)
{
    (void)data;
    pyh_message_unref(context);
}

/* One of the message's buffers for another message: it keeps this one, or that which this one has it from, so that
 * copies of copies make no chain. A channel is itself. */
static pyh_buffer shared_buffer(pyh_message *message, uint32_t index)
{
    const pyh_buffer *buffer = &message->buffers[index];
    pyh_value_channel *channel = pyh_value_channel_of_buffer(buffer);
    if (channel != NULL) {
        return pyh_value_channel_as_buffer(channel);
    }
    pyh_message *owner = buffer->release == unref_message ? buffer->context : message;
    return (pyh_buffer){buffer->data, buffer->size, unref_message, pyh_message_ref(owner)};
}

/* Appends encoded bytes that take count buffers of the message, from the first on. */
static pyhost_status append(pyhost_builder *builder, const unsigned char *bytes, size_t size, pyh_message *message,
                            uint32_t first, uint32_t count)
{
    if (builder->status == PYHOST_OK && begin(builder) == PYHOST_OK) {
        pyh_writer_bytes(&builder->writer, bytes, size);
        for (uint32_t i = first; i < first + count && builder->writer.status == PYHOST_OK; i++) {
            pyh_writer_share(&builder->writer, shared_buffer(message, i));
        }
    }
    return outcome(builder);
}

/* Whether a value can stand where the builder is without nesting too deep; one that a codec made can by itself. */
static bool has_levels_for(const pyhost_builder *builder, const pyhost_value *value)
{
    pyhost_reader reader = pyhost_reader_make(value);
    reader.depth = (uint32_t)builder->depth;
    return builder->depth == 0 || pyhost_reader_skip(&reader) == PYHOST_OK;
}

pyhost_status pyhost_builder_value(pyhost_builder *builder, const pyhost_value *value)
{
    pyh_message *message = pyh_message_of(value);
    if (!has_levels_for(builder, value)) {
        return fail(builder, PYHOST_MISUSED);
    }
    return append(builder, message->payload, message->size, message, 0, message->buffer_count);
}

pyhost_status pyh_builder_copy(pyhost_builder *builder, pyhost_reader *reader)
{
    pyhost_reader before = *reader;
    pyhost_status status = pyhost_reader_skip(reader);
    if (status != PYHOST_OK) {
        return fail(builder, status);
    }
    return append(builder, before.at, (size_t)(reader->at - before.at), pyh_message_of(before.value),
                  before.next_buffer, reader->next_buffer - before.next_buffer);
}

pyhost_status pyhost_reader_value(pyhost_reader *reader, pyhost_value **value)
{
    pyhost_builder builder = {0};
    pyhost_reader after = *reader;
    pyhost_status status = pyh_builder_copy(&builder, &after);
    if (status == PYHOST_OK) {
        status = pyhost_builder_finish(&builder, value);
    } else {
        pyhost_builder_clear(&builder);
    }
    if (status == PYHOST_OK) {
        *reader = after;
    }
    return status;
}

pyhost_status pyhost_builder_keyword(pyhost_builder *builder, const char *name)
{
    if (builder->status == PYHOST_OK && (builder->depth > 0 || builder->names_next)) {
        return fail(builder, PYHOST_MISUSED);
    }
    if (builder->status == PYHOST_OK) {
        size_t size = strlen(name);
        write_header(builder);
        builder->names_next = true;
        pyh_writer_tagged(&builder->writer, PYH_TAG_STR, size);
        pyh_writer_bytes(&builder->writer, name, size);
    }
    return outcome(builder);
}

/* Whether what it holds is whole; MISUSED where something is still open. */
static pyhost_status check_whole(pyhost_builder *builder)
{
    bool is_whole = builder->depth == 0 && !builder->names_next;
    return is_whole ? outcome(builder) : fail(builder, PYHOST_MISUSED);
}

/* The message that was written, and an empty builder; on a failure only that. */
static pyhost_status take(pyhost_builder *builder, pyh_message **message)
{
    pyhost_status status = builder->status;
    if (status == PYHOST_OK) {
        status = pyh_writer_finish(&builder->writer, message);
    } else {
        pyh_writer_discard(&builder->writer);
    }
    forget(builder);
    return status;
}

pyhost_status pyhost_builder_finish(pyhost_builder *builder, pyhost_value **value)
{
    pyh_message *message = NULL;
    if (check_whole(builder) == PYHOST_OK && (builder->positional != 1 || builder->keywords > 0)) {
        fail(builder, PYHOST_MISUSED);
    }
    pyhost_status status = take(builder, &message);
    if (status == PYHOST_OK) {
        message->size -= HEADER_SIZE;
        memmove(message->payload, message->payload + HEADER_SIZE, message->size);
        *value = pyh_value_of(message);
    }
    return status;
}

/* More arguments than a byte of the header counts. */
static void write_long_counts(pyhost_builder *builder)
{
    enum { MORE = 2 * COUNT_SIZE - HEADER_SIZE };
    if (pyh_writer_reserve(&builder->writer, MORE) == NULL) {
        fail(builder, builder->writer.status);
        return;
    }
    pyh_message *message = builder->writer.message;
    memmove(message->payload + 2 * COUNT_SIZE, message->payload + HEADER_SIZE, message->size - 2 * COUNT_SIZE);
    write_count(message->payload, builder->positional);
    write_count(message->payload + COUNT_SIZE, builder->keywords);
}

static void write_counts(pyhost_builder *builder)
{
    if (builder->positional < SHORT_COUNT && builder->keywords < SHORT_COUNT) {
        builder->writer.message->payload[0] = (unsigned char)builder->positional;
        builder->writer.message->payload[1] = (unsigned char)builder->keywords;
    } else {
        write_long_counts(builder);
    }
}

pyhost_status pyh_builder_take_arguments(pyhost_builder *builder, pyh_message **request)
{
    if (builder == NULL) {
        pyhost_builder none = {0};
        return pyh_builder_take_arguments(&none, request);
    }
    write_header(builder);
    if (check_whole(builder) == PYHOST_OK) {
        write_counts(builder);
    }
    return take(builder, request);
}
