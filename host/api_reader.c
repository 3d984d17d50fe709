/* api_reader: see codec_format.h for what is read. Values come from encoders, but nothing is trusted: every size is
 * held against what is left, and recursion is bounded. Each function works on a copy and moves the reader at the end,
 * so that a failure leaves it where it was. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "api.h"
#include "codec.h"
#include "codec_format.h"

pyhost_value *pyhost_value_ref(pyhost_value *value)
{
    return pyh_value_of(pyh_message_ref(pyh_message_of(value)));
}

void pyhost_value_unref(pyhost_value *value)
{
    pyh_message_unref(pyh_message_of(value));
}

const char *pyhost_kind_name(pyhost_kind kind)
{
    switch (kind) {
#define NAME_CASE(name, value, message)                                                                                \
    case PYHOST_KIND_##name:                                                                                           \
        return message;
        PYHOST_KIND_MAP(NAME_CASE)
#undef NAME_CASE
    }
    return "unknown kind";
}

pyhost_reader pyhost_reader_make(const pyhost_value *value)
{
    const pyh_message *message = pyh_message_of(value);
    return (pyhost_reader){
        .at = message->payload, .end = message->payload + message->size, .value = value, .left = 1};
}

size_t pyhost_reader_left(const pyhost_reader *reader)
{
    return reader->left;
}

static pyhost_kind kind_of(unsigned char tag)
{
    switch (tag) {
    case PYH_TAG_NONE:
        return PYHOST_KIND_NONE;
    case PYH_TAG_TRUE:
    case PYH_TAG_FALSE:
        return PYHOST_KIND_BOOL;
    case PYH_TAG_INT:
    case PYH_TAG_BIG_INT:
        return PYHOST_KIND_INT;
    case PYH_TAG_FLOAT:
        return PYHOST_KIND_FLOAT;
    case PYH_TAG_STR:
        return PYHOST_KIND_STR;
    case PYH_TAG_BYTES:
        return PYHOST_KIND_BYTES;
    case PYH_TAG_BYTEARRAY:
        return PYHOST_KIND_BYTEARRAY;
    case PYH_TAG_LIST:
        return PYHOST_KIND_LIST;
    case PYH_TAG_TUPLE:
        return PYHOST_KIND_TUPLE;
    case PYH_TAG_SET:
        return PYHOST_KIND_SET;
    case PYH_TAG_FROZENSET:
        return PYHOST_KIND_FROZENSET;
    case PYH_TAG_DICT:
        return PYHOST_KIND_DICT;
    case PYH_TAG_DATE:
        return PYHOST_KIND_DATE;
    case PYH_TAG_TIME:
        return PYHOST_KIND_TIME;
    case PYH_TAG_DATETIME:
        return PYHOST_KIND_DATETIME;
    case PYH_TAG_TIMEDELTA:
        return PYHOST_KIND_TIMEDELTA;
    case PYH_TAG_TIMEZONE:
        return PYHOST_KIND_TIMEZONE;
    case PYH_TAG_MEMORYVIEW:
        return PYHOST_KIND_BUFFER;
    case PYH_TAG_PICKLE:
        return PYHOST_KIND_PICKLE;
    case PYH_TAG_CHANNEL:
        return PYHOST_KIND_CHANNEL;
    default:
        return PYHOST_KIND_END;
    }
}

pyhost_kind pyhost_reader_kind(const pyhost_reader *reader)
{
    return reader->left > 0 && reader->at < reader->end ? kind_of(*reader->at) : PYHOST_KIND_END;
}

/* The next size bytes, or NULL when there are fewer. */
static const unsigned char *read_bytes(pyhost_reader *reader, size_t size)
{
    if (size > (size_t)(reader->end - reader->at)) {
        return NULL;
    }
    const unsigned char *bytes = reader->at;
    reader->at += size;
    return bytes;
}

static pyhost_status read_varint(pyhost_reader *reader, uint64_t *value)
{
    pyh_reader bytes = {.at = reader->at, .end = reader->end};
    pyhost_status status = pyh_reader_varint(&bytes, value);
    reader->at = bytes.at;
    return status;
}

/* A size or count, which the bytes left can hold: each value takes one at least. */
static pyhost_status read_count(pyhost_reader *reader, size_t *count)
{
    uint64_t value;
    if (read_varint(reader, &value) != PYHOST_OK || value > (uint64_t)(reader->end - reader->at)) {
        return PYHOST_MALFORMED;
    }
    *count = (size_t)value;
    return PYHOST_OK;
}

static pyhost_status read_zigzag(pyhost_reader *reader, int64_t *value)
{
    uint64_t raw;
    pyhost_status status = read_varint(reader, &raw);
    if (status == PYHOST_OK) {
        *value = pyh_unzigzag(raw);
    }
    return status;
}

/* Takes the tag of the next value; false: there is none. */
static bool read_tag(pyhost_reader *reader, unsigned char *tag)
{
    if (reader->left == 0 || reader->at == reader->end) {
        return false;
    }
    reader->left--;
    *tag = *reader->at++;
    return true;
}

/* Takes the next value's tag if it is this one. */
static pyhost_status expect(pyhost_reader *reader, pyh_tag wanted)
{
    unsigned char tag;
    return read_tag(reader, &tag) && tag == (unsigned char)wanted ? PYHOST_OK : PYHOST_WRONG_KIND;
}

/* Moves the reader past one value, to where a copy of it has got to, if all went well. */
static pyhost_status move(pyhost_reader *reader, const pyhost_reader *copy, pyhost_status status)
{
    if (status == PYHOST_OK) {
        reader->at = copy->at;
        reader->next_buffer = copy->next_buffer;
        reader->left--;
    }
    return status;
}

/* Goes a level down, to the parts of a time, a timezone or a memoryview, which are so many; levels are counted as the
 * codec counts them. */
static pyhost_status descend(pyhost_reader *reader, size_t parts)
{
    reader->left = parts;
    return ++reader->depth <= PYH_CODEC_DEPTH ? PYHOST_OK : PYHOST_MALFORMED;
}

pyhost_status pyhost_reader_none(pyhost_reader *reader)
{
    pyhost_reader copy = *reader;
    return move(reader, &copy, expect(&copy, PYH_TAG_NONE));
}

pyhost_status pyhost_reader_bool(pyhost_reader *reader, bool *value)
{
    unsigned char tag;
    pyhost_reader copy = *reader;
    if (!read_tag(&copy, &tag) || (tag != PYH_TAG_TRUE && tag != PYH_TAG_FALSE)) {
        return PYHOST_WRONG_KIND;
    }
    *value = tag == PYH_TAG_TRUE;
    return move(reader, &copy, PYHOST_OK);
}

/* An int of any size: small ones in *small, large ones as bytes (NULL otherwise). */
static pyhost_status read_int(pyhost_reader *reader, int64_t *small, const unsigned char **bytes, size_t *size)
{
    unsigned char tag;
    *bytes = NULL;
    if (!read_tag(reader, &tag) || (tag != PYH_TAG_INT && tag != PYH_TAG_BIG_INT)) {
        return PYHOST_WRONG_KIND;
    }
    if (tag == PYH_TAG_INT) {
        return read_zigzag(reader, small);
    }
    pyhost_status status = read_count(reader, size);
    *bytes = status == PYHOST_OK ? read_bytes(reader, *size) : NULL;
    return *bytes != NULL && *size > 0 ? PYHOST_OK : PYHOST_MALFORMED;
}

pyhost_status pyhost_reader_int(pyhost_reader *reader, int64_t *value)
{
    /* Field by field: a copy of the reader waits for what has just been stored into it, 5 ns of a direct call. */
    pyhost_reader copy = {
        .at = reader->at, .end = reader->end, .left = reader->left, .next_buffer = reader->next_buffer};
    const unsigned char *bytes;
    size_t size;
    int64_t small = 0;
    pyhost_status status = read_int(&copy, &small, &bytes, &size);
    if (status == PYHOST_OK && bytes != NULL) {
        return PYHOST_OUT_OF_RANGE;
    }
    if (status == PYHOST_OK) {
        *value = small;
    }
    return move(reader, &copy, status);
}

pyhost_status pyhost_reader_uint(pyhost_reader *reader, uint64_t *value)
{
    pyhost_reader copy = *reader;
    const unsigned char *bytes;
    size_t size;
    int64_t small = 0;
    pyhost_status status = read_int(&copy, &small, &bytes, &size);
    if (status != PYHOST_OK) {
        return status;
    }
    uint64_t result = (uint64_t)small;
    if (bytes != NULL) {
        /* Above INT64_MAX: nine bytes, the last of which is 0. */
        if (size != sizeof result + 1 || bytes[sizeof result] != 0) {
            return PYHOST_OUT_OF_RANGE;
        }
        result = 0;
        for (size_t i = 0; i < sizeof result; i++) {
            result |= (uint64_t)bytes[i] << 8 * i;
        }
    } else if (small < 0) {
        return PYHOST_OUT_OF_RANGE;
    }
    *value = result;
    return move(reader, &copy, PYHOST_OK);
}

pyhost_status pyhost_reader_big_int(pyhost_reader *reader, void *bytes, size_t size_bytes, size_t *used)
{
    pyhost_reader copy = *reader;
    const unsigned char *found;
    unsigned char small_bytes[sizeof(int64_t)];
    size_t size = sizeof small_bytes;
    int64_t small = 0;
    pyhost_status status = read_int(&copy, &small, &found, &size);
    if (status != PYHOST_OK) {
        return status;
    }
    if (found == NULL) {
        for (size_t i = 0; i < sizeof small_bytes; i++) {
            small_bytes[i] = (unsigned char)((uint64_t)small >> 8 * i);
        }
        found = small_bytes;
        size = sizeof small_bytes;
    }
    if (size > size_bytes) {
        return PYHOST_OUT_OF_RANGE;
    }
    memcpy(bytes, found, size);
    *used = size;
    return move(reader, &copy, PYHOST_OK);
}

/* The nearest double to an integer in two's complement; infinite where there is none. */
static double double_of(const unsigned char *bytes, size_t size)
{
    bool is_negative = (bytes[size - 1] & 0x80) != 0, is_rest_zero = true;
    unsigned char flip = is_negative ? 0xff : 0;
    while (size > 1 && bytes[size - 1] == flip) {
        size--;
    }
    size_t rest = size > sizeof(uint64_t) ? size - sizeof(uint64_t) : 0;
    uint64_t head = 0;
    for (size_t i = size; i > rest; i--) {
        head = head << 8 | (bytes[i - 1] ^ flip);
    }
    for (size_t i = 0; i < rest && is_rest_zero; i++) {
        is_rest_zero = bytes[i] == 0;
    }
    /* The head has more bits than a double; that something follows matters only where it is halfway between two. */
    if (!is_rest_zero) {
        head |= 1;
    } else if (is_negative && head < UINT64_MAX) {
        head++;
    }
    double result = rest < DBL_MAX_EXP ? ldexp((double)head, (int)(8 * rest)) : HUGE_VAL;
    return is_negative ? -result : result;
}

pyhost_status pyhost_reader_float(pyhost_reader *reader, double *value)
{
    pyhost_reader copy = *reader;
    if (pyhost_reader_kind(reader) == PYHOST_KIND_INT) {
        const unsigned char *bytes;
        size_t size;
        int64_t small = 0;
        pyhost_status status = read_int(&copy, &small, &bytes, &size);
        double found = status == PYHOST_OK && bytes != NULL ? double_of(bytes, size) : (double)small;
        if (status == PYHOST_OK && !isfinite(found)) {
            return PYHOST_OUT_OF_RANGE;
        }
        if (status == PYHOST_OK) {
            *value = found;
        }
        return move(reader, &copy, status);
    }
    if (expect(&copy, PYH_TAG_FLOAT) != PYHOST_OK) {
        return PYHOST_WRONG_KIND;
    }
    const unsigned char *bytes = read_bytes(&copy, sizeof(uint64_t));
    if (bytes == NULL) {
        return PYHOST_MALFORMED;
    }
    uint64_t bits = 0;
    for (size_t i = 0; i < sizeof bits; i++) {
        bits |= (uint64_t)bytes[i] << 8 * i;
    }
    memcpy(value, &bits, sizeof bits);
    return move(reader, &copy, PYHOST_OK);
}

/* What follows a tag: a size, and as many bytes. */
static pyhost_status read_sized(pyhost_reader *reader, const void **bytes, size_t *size)
{
    size_t count;
    pyhost_status status = read_count(reader, &count);
    if (status == PYHOST_OK) {
        *bytes = read_bytes(reader, count);
        *size = count;
    }
    return status;
}

pyhost_status pyhost_reader_str(pyhost_reader *reader, const char **text, size_t *size_bytes)
{
    pyhost_reader copy = *reader;
    const void *bytes;
    pyhost_status status = expect(&copy, PYH_TAG_STR);
    status = status == PYHOST_OK ? read_sized(&copy, &bytes, size_bytes) : status;
    if (status == PYHOST_OK) {
        *text = bytes;
    }
    return move(reader, &copy, status);
}

pyh_text pyh_text_read(pyhost_reader *reader)
{
    pyh_text text = {NULL, 0};
    if (pyhost_reader_str(reader, &text.start, &text.size) != PYHOST_OK) {
        pyhost_reader_skip(reader);
    }
    return text;
}

pyhost_status pyhost_reader_bytes(pyhost_reader *reader, const void **bytes, size_t *size_bytes)
{
    unsigned char tag;
    pyhost_reader copy = *reader;
    if (!read_tag(&copy, &tag) || (tag != PYH_TAG_BYTES && tag != PYH_TAG_BYTEARRAY)) {
        return PYHOST_WRONG_KIND;
    }
    return move(reader, &copy, read_sized(&copy, bytes, size_bytes));
}

pyhost_status pyhost_reader_pickle(pyhost_reader *reader, const void **bytes, size_t *size_bytes)
{
    pyhost_reader copy = *reader;
    uint64_t buffers = 0;
    pyhost_status status = expect(&copy, PYH_TAG_PICKLE);
    status = status == PYHOST_OK ? read_varint(&copy, &buffers) : status;
    if (status == PYHOST_OK && buffers > pyh_message_of(copy.value)->buffer_count - copy.next_buffer) {
        return PYHOST_MALFORMED;
    }
    copy.next_buffer += (uint32_t)buffers;
    return move(reader, &copy, status == PYHOST_OK ? read_sized(&copy, bytes, size_bytes) : status);
}

pyhost_status pyhost_reader_enter(pyhost_reader *reader, pyhost_reader *inner)
{
    pyhost_reader copy = *reader;
    size_t count;
    switch (pyhost_reader_kind(reader)) {
    case PYHOST_KIND_LIST:
    case PYHOST_KIND_TUPLE:
    case PYHOST_KIND_SET:
    case PYHOST_KIND_FROZENSET:
    case PYHOST_KIND_DICT:
        break;
    default:
        return PYHOST_WRONG_KIND;
    }
    copy.at++;
    if (read_count(&copy, &count) != PYHOST_OK ||
        descend(&copy, *reader->at == PYH_TAG_DICT ? 2 * count : count) != PYHOST_OK) {
        return PYHOST_MALFORMED;
    }
    *inner = copy;
    return PYHOST_OK;
}

/* Goes into the container that is next if it is of this tag. */
static pyhost_status enter_as(pyhost_reader *reader, pyhost_reader *inner, pyh_tag wanted)
{
    bool is_wanted = pyhost_reader_kind(reader) == kind_of((unsigned char)wanted);
    return is_wanted ? pyhost_reader_enter(reader, inner) : PYHOST_WRONG_KIND;
}

static pyhost_status read_date(pyhost_reader *reader, pyhost_date *date)
{
    const unsigned char *bytes = read_bytes(reader, PYH_DATE_SIZE);
    if (bytes == NULL) {
        return PYHOST_MALFORMED;
    }
    pyhost_date found = {.year = bytes[0] | bytes[1] << 8, .month = bytes[2], .day = bytes[3]};
    if (!pyh_date_is_valid(&found)) {
        return PYHOST_MALFORMED;
    }
    *date = found;
    return PYHOST_OK;
}

static pyhost_status read_timedelta(pyhost_reader *reader, pyhost_timedelta *timedelta)
{
    uint64_t seconds, microseconds;
    pyhost_timedelta found;
    if (read_zigzag(reader, &found.days) != PYHOST_OK || read_varint(reader, &seconds) != PYHOST_OK ||
        read_varint(reader, &microseconds) != PYHOST_OK || (seconds | microseconds) > UINT32_MAX) {
        return PYHOST_MALFORMED;
    }
    found.seconds = (uint32_t)seconds;
    found.microseconds = (uint32_t)microseconds;
    if (!pyh_timedelta_is_valid(&found)) {
        return PYHOST_MALFORMED;
    }
    *timedelta = found;
    return PYHOST_OK;
}

/* What follows a timezone's tag: a tuple of its offset and perhaps its name. */
static pyhost_status read_offset(pyhost_reader *reader, int64_t *offset_us)
{
    pyhost_reader inner;
    pyhost_timedelta offset;
    pyhost_status status = descend(reader, 1);
    status = status == PYHOST_OK ? enter_as(reader, &inner, PYH_TAG_TUPLE) : status;
    status = status == PYHOST_OK ? pyhost_reader_timedelta(&inner, &offset) : status;
    status = status == PYHOST_OK ? pyhost_reader_leave(reader, &inner) : status;
    if (status != PYHOST_OK || offset.days < -1 || offset.days > 0) {
        return PYHOST_MALFORMED;
    }
    int64_t found_us = (offset.days * 86400 + offset.seconds) * 1000000 + offset.microseconds;
    if (!pyh_offset_is_valid(found_us)) {
        return PYHOST_MALFORMED;
    }
    *offset_us = found_us;
    return PYHOST_OK;
}

/* A time's zone: None, a timezone, or a pickled object. */
static pyhost_status read_zone(pyhost_reader *reader, pyhost_time *time)
{
    const void *bytes;
    size_t size;
    if (descend(reader, 1) != PYHOST_OK) {
        return PYHOST_MALFORMED;
    }
    switch (pyhost_reader_kind(reader)) {
    case PYHOST_KIND_NONE:
        return pyhost_reader_none(reader);
    case PYHOST_KIND_TIMEZONE:
        time->zone = PYHOST_ZONE_FIXED;
        return pyhost_reader_timezone(reader, &time->offset_us);
    case PYHOST_KIND_PICKLE:
        time->zone = PYHOST_ZONE_OTHER;
        return pyhost_reader_pickle(reader, &bytes, &size);
    default:
        return PYHOST_MALFORMED;
    }
}

static pyhost_status read_time(pyhost_reader *reader, pyhost_time *time)
{
    const unsigned char *bytes = read_bytes(reader, PYH_TIME_SIZE);
    if (bytes == NULL) {
        return PYHOST_MALFORMED;
    }
    pyhost_time found = {
        .hour = bytes[0],
        .minute = bytes[1],
        .second = bytes[2],
        .microsecond = (uint32_t)(bytes[3] | bytes[4] << 8 | bytes[5] << 16),
        .fold = bytes[6],
        .zone = PYHOST_ZONE_NONE,
    };
    pyhost_status status = read_zone(reader, &found);
    if (status != PYHOST_OK || !pyh_time_is_valid(&found)) {
        return PYHOST_MALFORMED;
    }
    *time = found;
    return PYHOST_OK;
}

pyhost_status pyhost_reader_date(pyhost_reader *reader, pyhost_date *date)
{
    pyhost_reader copy = *reader;
    pyhost_status status = expect(&copy, PYH_TAG_DATE);
    return move(reader, &copy, status == PYHOST_OK ? read_date(&copy, date) : status);
}

pyhost_status pyhost_reader_time(pyhost_reader *reader, pyhost_time *time)
{
    pyhost_reader copy = *reader;
    pyhost_status status = expect(&copy, PYH_TAG_TIME);
    return move(reader, &copy, status == PYHOST_OK ? read_time(&copy, time) : status);
}

pyhost_status pyhost_reader_datetime(pyhost_reader *reader, pyhost_datetime *datetime)
{
    pyhost_reader copy = *reader;
    pyhost_datetime found;
    pyhost_status status = expect(&copy, PYH_TAG_DATETIME);
    status = status == PYHOST_OK ? read_date(&copy, &found.date) : status;
    status = status == PYHOST_OK ? read_time(&copy, &found.time) : status;
    if (status == PYHOST_OK) {
        *datetime = found;
    }
    return move(reader, &copy, status);
}

pyhost_status pyhost_reader_timedelta(pyhost_reader *reader, pyhost_timedelta *timedelta)
{
    pyhost_reader copy = *reader;
    pyhost_status status = expect(&copy, PYH_TAG_TIMEDELTA);
    return move(reader, &copy, status == PYHOST_OK ? read_timedelta(&copy, timedelta) : status);
}

pyhost_status pyhost_reader_timezone(pyhost_reader *reader, int64_t *offset_us)
{
    pyhost_reader copy = *reader;
    pyhost_status status = expect(&copy, PYH_TAG_TIMEZONE);
    return move(reader, &copy, status == PYHOST_OK ? read_offset(&copy, offset_us) : status);
}

/* Takes the next buffer beside the value, NULL: there is none. */
static const pyh_buffer *read_beside(pyhost_reader *reader)
{
    const pyh_message *message = pyh_message_of(reader->value);
    return reader->next_buffer < message->buffer_count ? &message->buffers[reader->next_buffer++] : NULL;
}

/* The same for a memoryview's memory: a channel has none. */
static const pyh_buffer *read_memory(pyhost_reader *reader)
{
    const pyh_buffer *buffer = read_beside(reader);
    return buffer != NULL && pyh_value_channel_of_buffer(buffer) == NULL ? buffer : NULL;
}

/* The next value, a channel, borrowed. */
static pyhost_status read_channel(pyhost_reader *reader, pyh_value_channel **channel)
{
    pyhost_reader copy = *reader;
    if (expect(&copy, PYH_TAG_CHANNEL) != PYHOST_OK) {
        return PYHOST_WRONG_KIND;
    }
    const pyh_buffer *buffer = read_beside(&copy);
    *channel = buffer != NULL ? pyh_value_channel_of_buffer(buffer) : NULL;
    return move(reader, &copy, *channel != NULL ? PYHOST_OK : PYHOST_MALFORMED);
}

pyhost_status pyhost_reader_channel(pyhost_reader *reader, pyhost_channel **channel)
{
    pyh_value_channel *found;
    pyhost_status status = read_channel(reader, &found);
    if (status == PYHOST_OK) {
        *channel = pyh_channel_to_public(pyh_value_channel_ref(found));
    }
    return status;
}

/* The shape of a memoryview, a tuple of int. */
static pyhost_status read_shape(pyhost_reader *reader, pyhost_buffer *buffer)
{
    pyhost_reader inner;
    if (enter_as(reader, &inner, PYH_TAG_TUPLE) != PYHOST_OK) {
        return PYHOST_MALFORMED;
    }
    buffer->dimensions = inner.left;
    while (inner.left > 0) {
        uint64_t extent;
        size_t index = buffer->dimensions - inner.left;
        if (pyhost_reader_uint(&inner, &extent) != PYHOST_OK) {
            return PYHOST_MALFORMED;
        }
        if (index < PYHOST_DIMENSIONS) {
            buffer->shape[index] = (size_t)extent;
        }
    }
    return pyhost_reader_leave(reader, &inner);
}

/* What follows a memoryview's tag. The shape is cut off where it has more than PYHOST_DIMENSIONS. */
static pyhost_status read_view(pyhost_reader *reader, pyhost_buffer *buffer)
{
    const char *format;
    size_t format_size;
    if (descend(reader, 2) != PYHOST_OK || pyhost_reader_str(reader, &format, &format_size) != PYHOST_OK ||
        format_size != 1 || read_shape(reader, buffer) != PYHOST_OK) {
        return PYHOST_MALFORMED;
    }
    const pyh_buffer *found = read_memory(reader);
    if (found == NULL) {
        return PYHOST_MALFORMED;
    }
    buffer->format = format[0];
    buffer->data = found->data;
    buffer->size_bytes = found->size;
    return PYHOST_OK;
}

pyhost_status pyhost_reader_buffer(pyhost_reader *reader, pyhost_buffer *buffer)
{
    pyhost_reader copy = *reader;
    pyhost_buffer found = {0};
    if (expect(&copy, PYH_TAG_MEMORYVIEW) != PYHOST_OK) {
        return PYHOST_WRONG_KIND;
    }
    if (read_view(&copy, &found) != PYHOST_OK) {
        return PYHOST_MALFORMED;
    }
    if (found.dimensions > PYHOST_DIMENSIONS) {
        return PYHOST_OUT_OF_RANGE;
    }
    if (!pyh_shape_is_valid(found.size_bytes, found.format, found.shape, found.dimensions)) {
        return PYHOST_MALFORMED;
    }
    *buffer = found;
    return move(reader, &copy, PYHOST_OK);
}

pyhost_status pyhost_reader_leave(pyhost_reader *reader, pyhost_reader *inner)
{
    while (inner->left > 0) {
        pyhost_status status = pyhost_reader_skip(inner);
        if (status != PYHOST_OK) {
            return PYHOST_MALFORMED;
        }
    }
    reader->at = inner->at;
    reader->next_buffer = inner->next_buffer;
    reader->left--;
    return PYHOST_OK;
}

/* Goes past what follows a tag. Recursion ends at the codec's depth. */
static pyhost_status skip_content(pyhost_reader *reader, unsigned char tag)
{
    const void *bytes;
    size_t size;
    int64_t number;
    switch (tag) {
    case PYH_TAG_NONE:
    case PYH_TAG_TRUE:
    case PYH_TAG_FALSE:
        return PYHOST_OK;
    case PYH_TAG_INT:
        return read_zigzag(reader, &number);
    case PYH_TAG_FLOAT:
        return read_bytes(reader, sizeof(double)) != NULL ? PYHOST_OK : PYHOST_MALFORMED;
    case PYH_TAG_BIG_INT:
    case PYH_TAG_STR:
    case PYH_TAG_BYTES:
    case PYH_TAG_BYTEARRAY:
        return read_sized(reader, &bytes, &size);
    default:
        return PYHOST_WRONG_KIND;
    }
}

static pyhost_status skip_temporal(pyhost_reader *reader, pyhost_kind kind)
{
    pyhost_datetime datetime;
    pyhost_timedelta timedelta;
    int64_t offset_us;
    switch (kind) {
    case PYHOST_KIND_DATE:
        return pyhost_reader_date(reader, &datetime.date);
    case PYHOST_KIND_TIME:
        return pyhost_reader_time(reader, &datetime.time);
    case PYHOST_KIND_DATETIME:
        return pyhost_reader_datetime(reader, &datetime);
    case PYHOST_KIND_TIMEDELTA:
        return pyhost_reader_timedelta(reader, &timedelta);
    default:
        return pyhost_reader_timezone(reader, &offset_us);
    }
}

/* A memoryview, of however many dimensions. */
static pyhost_status skip_buffer(pyhost_reader *reader)
{
    pyhost_reader copy = *reader;
    pyhost_buffer buffer;
    copy.at++;
    return move(reader, &copy, read_view(&copy, &buffer));
}

pyhost_status pyhost_reader_skip(pyhost_reader *reader)
{
    pyhost_reader copy = *reader, inner;
    const void *bytes;
    size_t size;
    unsigned char tag = 0;
    pyh_value_channel *channel;
    pyhost_kind kind = pyhost_reader_kind(reader);
    switch (kind) {
    case PYHOST_KIND_END:
        return reader->left > 0 ? PYHOST_MALFORMED : PYHOST_WRONG_KIND;
    case PYHOST_KIND_LIST:
    case PYHOST_KIND_TUPLE:
    case PYHOST_KIND_SET:
    case PYHOST_KIND_FROZENSET:
    case PYHOST_KIND_DICT: {
        pyhost_status status = pyhost_reader_enter(&copy, &inner);
        return move(reader, &copy, status == PYHOST_OK ? pyhost_reader_leave(&copy, &inner) : status);
    }
    case PYHOST_KIND_DATE:
    case PYHOST_KIND_TIME:
    case PYHOST_KIND_DATETIME:
    case PYHOST_KIND_TIMEDELTA:
    case PYHOST_KIND_TIMEZONE:
        return skip_temporal(reader, kind);
    case PYHOST_KIND_BUFFER:
        return skip_buffer(reader);
    case PYHOST_KIND_PICKLE:
        return pyhost_reader_pickle(reader, &bytes, &size);
    case PYHOST_KIND_CHANNEL:
        return read_channel(reader, &channel);
    default:
        read_tag(&copy, &tag);
        return move(reader, &copy, skip_content(&copy, tag));
    }
}
