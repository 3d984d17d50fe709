/* codec_format: the bytes of a value. A tag, then as said; "varint" is LEB128, "zigzag" a signed varint. Containers
 * give their count, then their values. Little-endian throughout. */
#ifndef PYH_CODEC_FORMAT_H
#define PYH_CODEC_FORMAT_H

#include <stdint.h>

typedef enum pyh_tag {
    PYH_TAG_NONE = 'N',
    PYH_TAG_TRUE = 'T',
    PYH_TAG_FALSE = 'F',
    PYH_TAG_INT = 'i',       /* zigzag, for what fits 64 bits */
    PYH_TAG_BIG_INT = 'I',   /* varint size, two's complement */
    PYH_TAG_FLOAT = 'f',     /* 8 bytes, IEEE 754 */
    PYH_TAG_STR = 's',       /* varint size, UTF-8, surrogates passed */
    PYH_TAG_BYTES = 'b',     /* varint size, bytes */
    PYH_TAG_BYTEARRAY = 'B', /* varint size, bytes */
    PYH_TAG_LIST = 'l',      /* varint count, values */
    PYH_TAG_TUPLE = 't',
    PYH_TAG_SET = 'S',
    PYH_TAG_FROZENSET = 'Z',
    PYH_TAG_DICT = 'd',       /* varint count, key and value in turn */
    PYH_TAG_DATE = 'D',       /* year 2, month, day */
    PYH_TAG_TIME = 'h',       /* hour, minute, second, microsecond 3, fold, then tzinfo as a value */
    PYH_TAG_DATETIME = 'c',   /* a date's bytes, then a time's */
    PYH_TAG_TIMEDELTA = 'e',  /* zigzag days, varint seconds, varint microseconds */
    PYH_TAG_TIMEZONE = 'z',   /* a tuple: the constructor's arguments */
    PYH_TAG_MEMORYVIEW = 'm', /* the next buffer; format and shape as values */
    PYH_TAG_PICKLE = 'p',     /* varint count of buffers taken, varint size, pickle */
    PYH_TAG_CHANNEL = 'C',    /* the next buffer, which is a channel: see value_channel.h */
} pyh_tag;

enum { PYH_DATE_SIZE = 4, PYH_TIME_SIZE = 7 };

/* A signed number as one whose varint is short if it is near 0, and back. */
static inline uint64_t pyh_zigzag(int64_t value)
{
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

static inline int64_t pyh_unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

#endif
