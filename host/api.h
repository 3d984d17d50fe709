/* api: what the files behind pyhost.h share. None of them touches Python: a caller's thread has no GIL. */
#ifndef PYH_API_H
#define PYH_API_H

#include "call.h"
#include "message.h"
#include "pyhost.h"
#include "value_channel.h"

/* The public objects that are internal ones under another name. */
static inline pyh_message *pyh_message_of(const pyhost_value *value)
{
    return (pyh_message *)(uintptr_t)value;
}

static inline pyhost_value *pyh_value_of(pyh_message *message)
{
    return (pyhost_value *)message;
}

static inline pyh_call *pyh_call_of(const pyhost_call *call)
{
    return (pyh_call *)(uintptr_t)call;
}

static inline pyh_value_channel *pyh_channel_of(const pyhost_channel *channel)
{
    return (pyh_value_channel *)(uintptr_t)channel;
}

static inline pyhost_channel *pyh_channel_to_public(pyh_value_channel *channel)
{
    return (pyhost_channel *)channel;
}

/* Text that need not end with a zero byte; NULL for "". */
typedef struct pyh_text {
    const char *start;
    size_t size;
} pyh_text;

static inline pyh_text pyh_text_of(const char *text)
{
    return (pyh_text){text, text != NULL ? __builtin_strlen(text) : 0};
}

/* A copy that ends with a zero byte; malloc'ed, NULL: no memory. */
char *pyh_text_copy(pyh_text text);

/* The same at *end, which has room, and *end is moved past it. */
char *pyh_text_place(char **end, pyh_text text);

typedef struct pyh_error_parts {
    pyh_text message;
    pyh_text plugin;
    pyh_text function;
    pyh_text type;
    pyh_text traceback;
} pyh_error_parts;

/* Stores an error of these parts, which are copied, in *error unless that is NULL; returns the status. */
pyhost_status pyh_error_set(pyhost_error **error, pyhost_status status, const pyh_error_parts *parts);

/* The same with a formatted message, about nothing in particular. */
__attribute__((format(printf, 3, 4))) pyhost_status pyh_error_say(pyhost_error **error, pyhost_status status,
                                                                 const char *format, ...);

/* The same for a call that ended with a status other than OK and perhaps a reply (borrowed), as call.h has them.
 * function is "plugin.function". */
pyhost_status pyh_error_of_call(pyhost_error **error, pyhost_status status, pyh_message *reply, const char *function);

/* Whether Python has such a one. A time's zone may be OTHER; an offset is that of a timezone, east of UTC. */
bool pyh_date_is_valid(const pyhost_date *date);
bool pyh_time_is_valid(const pyhost_time *time);
bool pyh_timedelta_is_valid(const pyhost_timedelta *timedelta);
bool pyh_offset_is_valid(int64_t offset_us);

/* The size of an item of a memoryview by its letter; 0 for one that is not known here, which Python may know. */
size_t pyh_item_size(char format);

/* Whether items of the format in that shape take the size exactly, in a way that memoryview.cast takes; of a letter
 * that is not known, whether they may fit. */
bool pyh_shape_is_valid(size_t size_bytes, char format, const size_t *shape, size_t dimensions);

/* The next value as text, "" if it is none; goes past it. */
pyh_text pyh_text_read(pyhost_reader *reader);

/* Whether nothing has been added, nor failed. */
bool pyh_builder_is_empty(const pyhost_builder *builder);

/* Adds the reader's next value to the builder and goes past it. */
pyhost_status pyh_builder_copy(pyhost_builder *builder, pyhost_reader *reader);

/* Makes what the builder holds (NULL: nothing) a call's request, *request, and empties it. */
pyhost_status pyh_builder_take_arguments(pyhost_builder *builder, pyh_message **request);

/* A size-prefixed struct that is filled in: copies as much of `from` as *to has room for, and keeps its size. */
void pyh_struct_copy(void *to, const void *from, size_t from_size);

#endif
