/* A libFuzzer target: a value from anybody, read and put together anew in whatever order the input says. A reader stays
 * within the value, and where it was when it fails; what it reads can be built; what a builder makes can be read.
 *
 *     fuzz_reader [--seeds=FOLDER] [libFuzzer's options] [FOLDER ...]
 *
 * --seeds writes an input for each kind of value into the folder first, which it makes. An input is a byte (its low
 * bits: how many buffers stand beside the payload; CHANNEL: the last one is a channel), the program as a size byte and so many bytes, each buffer the same
 * way, and the payload. A byte of the program is an operation; some take what follows as what they are to build. */
#include <math.h>

#include "api.h"
#include "check.h"
#include "codec.h"
#include "fuzz.h"

enum { BUFFERS = 3, CHANNEL = 4, LEVELS = 8, DIGITS = 40, UNTOUCHED = 0xa5, WHOLE_MOST = 1 << 14 };

typedef struct output {
    bool truth;
    int64_t number;
    uint64_t size;
    double real;
    const void *bytes;
    size_t size_bytes;
    unsigned char digits[DIGITS];
    pyhost_datetime moment;
    pyhost_timedelta timedelta;
    pyhost_buffer buffer;
    pyhost_channel *channel; /* the value's */
} output;

static pyhost_channel *channel;

typedef struct machine {
    fuzz_input program;
    pyh_message *message; /* owned; what is read */
    pyhost_reader readers[LEVELS];
    pyhost_reader saved[LEVELS]; /* an earlier place of each */
    size_t level;
    pyhost_builder *builder; /* owned */
    pyhost_status failure;   /* of the builder */
    int lent;                /* pieces of memory that the builder, or a value, must still give back */
} machine;

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

static pyhost_status read_none(pyhost_reader *reader, output *out)
{
    (void)out;
    return pyhost_reader_none(reader);
}

static pyhost_status read_bool(pyhost_reader *reader, output *out)
{
    return pyhost_reader_bool(reader, &out->truth);
}

static pyhost_status read_int(pyhost_reader *reader, output *out)
{
    return pyhost_reader_int(reader, &out->number);
}

static pyhost_status read_uint(pyhost_reader *reader, output *out)
{
    return pyhost_reader_uint(reader, &out->size);
}

static pyhost_status read_big_int(pyhost_reader *reader, output *out)
{
    return pyhost_reader_big_int(reader, out->digits, sizeof out->digits, &out->size_bytes);
}

static pyhost_status read_float(pyhost_reader *reader, output *out)
{
    return pyhost_reader_float(reader, &out->real);
}

static pyhost_status read_str(pyhost_reader *reader, output *out)
{
    return pyhost_reader_str(reader, (const char **)&out->bytes, &out->size_bytes);
}

static pyhost_status read_bytes(pyhost_reader *reader, output *out)
{
    return pyhost_reader_bytes(reader, &out->bytes, &out->size_bytes);
}

static pyhost_status read_pickle(pyhost_reader *reader, output *out)
{
    return pyhost_reader_pickle(reader, &out->bytes, &out->size_bytes);
}

static pyhost_status read_date(pyhost_reader *reader, output *out)
{
    return pyhost_reader_date(reader, &out->moment.date);
}

static pyhost_status read_time(pyhost_reader *reader, output *out)
{
    return pyhost_reader_time(reader, &out->moment.time);
}

static pyhost_status read_datetime(pyhost_reader *reader, output *out)
{
    return pyhost_reader_datetime(reader, &out->moment);
}

static pyhost_status read_timedelta(pyhost_reader *reader, output *out)
{
    return pyhost_reader_timedelta(reader, &out->timedelta);
}

static pyhost_status read_timezone(pyhost_reader *reader, output *out)
{
    return pyhost_reader_timezone(reader, &out->number);
}

static pyhost_status read_buffer(pyhost_reader *reader, output *out)
{
    return pyhost_reader_buffer(reader, &out->buffer);
}

static pyhost_status read_channel(pyhost_reader *reader, output *out)
{
    pyhost_status status = pyhost_reader_channel(reader, &out->channel);
    if (status == PYHOST_OK) {
        fuzz_require(out->channel == channel, "no other is taken for a channel");
        pyhost_channel_unref(out->channel);
    }
    return status;
}

static pyhost_status build_none(pyhost_builder *builder, const output *out)
{
    (void)out;
    return pyhost_builder_none(builder);
}

static pyhost_status build_bool(pyhost_builder *builder, const output *out)
{
    return pyhost_builder_bool(builder, out->truth);
}

static pyhost_status build_int(pyhost_builder *builder, const output *out)
{
    return pyhost_builder_int(builder, out->number);
}

static pyhost_status build_uint(pyhost_builder *builder, const output *out)
{
    return pyhost_builder_uint(builder, out->size);
}

static pyhost_status build_big_int(pyhost_builder *builder, const output *out)
{
    return pyhost_builder_big_int(builder, out->digits, out->size_bytes);
}

static pyhost_status build_float(pyhost_builder *builder, const output *out)
{
    return pyhost_builder_float(builder, out->real);
}

static pyhost_status build_str(pyhost_builder *builder, const output *out)
{
    return pyhost_builder_str(builder, out->bytes, out->size_bytes);
}

static pyhost_status build_bytes(pyhost_builder *builder, const output *out)
{
    return pyhost_builder_bytes(builder, out->bytes, out->size_bytes);
}

static pyhost_status build_date(pyhost_builder *builder, const output *out)
{
    return pyhost_builder_date(builder, &out->moment.date);
}

static pyhost_status build_time(pyhost_builder *builder, const output *out)
{
    return pyhost_builder_time(builder, &out->moment.time);
}

static pyhost_status build_datetime(pyhost_builder *builder, const output *out)
{
    return pyhost_builder_datetime(builder, &out->moment);
}

static pyhost_status build_timedelta(pyhost_builder *builder, const output *out)
{
    return pyhost_builder_timedelta(builder, &out->timedelta);
}

static pyhost_status build_timezone(pyhost_builder *builder, const output *out)
{
    return pyhost_builder_timezone(builder, out->number);
}

static pyhost_status build_channel(pyhost_builder *builder, const output *out)
{
    return pyhost_builder_channel(builder, out->channel);
}

/* How a value is read, of which kinds, and built again (NULL: only Python can). */
typedef struct form {
    uint32_t kinds;
    pyhost_status (*read)(pyhost_reader *reader, output *out);
    pyhost_status (*build)(pyhost_builder *builder, const output *out);
} form;

#define KIND(name) (UINT32_C(1) << PYHOST_KIND_##name)

static const form forms[] = {
    {KIND(NONE), read_none, build_none},
    {KIND(BOOL), read_bool, build_bool},
    {KIND(INT), read_big_int, build_big_int},
    {KIND(INT), read_int, build_int},
    {KIND(INT), read_uint, build_uint},
    {KIND(FLOAT) | KIND(INT), read_float, build_float},
    {KIND(STR), read_str, build_str},
    {KIND(BYTES) | KIND(BYTEARRAY), read_bytes, build_bytes},
    {KIND(PICKLE), read_pickle, NULL},
    {KIND(DATE), read_date, build_date},
    {KIND(TIME), read_time, build_time},
    {KIND(DATETIME), read_datetime, build_datetime},
    {KIND(TIMEDELTA), read_timedelta, build_timedelta},
    {KIND(TIMEZONE), read_timezone, build_timezone},
    {KIND(BUFFER), read_buffer, NULL},
    {KIND(CHANNEL), read_channel, build_channel},
};

enum { FORMS = CHECK_COUNT(forms) };

static bool is_container(pyhost_kind kind)
{
    return (KIND(LIST) | KIND(TUPLE) | KIND(SET) | KIND(FROZENSET) | KIND(DICT)) >> kind & 1;
}

static bool is_same_place(const pyhost_reader *one, const pyhost_reader *other)
{
    return one->at == other->at && one->end == other->end && one->value == other->value && one->left == other->left &&
           one->next_buffer == other->next_buffer && one->depth == other->depth;
}

/* The reader has gone past one value, to where skipping it leads. */
static void check_moved(const pyhost_reader *before, const pyhost_reader *after)
{
    pyhost_reader skipping = *before;
    fuzz_require(after->left == before->left - 1, "one value fewer is left");
    fuzz_require(after->at > before->at && after->at <= before->end, "it has moved, within the value");
    fuzz_require(after->next_buffer <= pyh_message_of(before->value)->buffer_count, "it takes buffers that are there");
    fuzz_require(pyhost_reader_skip(&skipping) == PYHOST_OK, "what can be read can be skipped");
    fuzz_require(is_same_place(&skipping, after), "skipping leads to where reading does");
}

/* Looks at every byte: the address sanitizer knows whose they are. */
static void touch(const void *bytes, size_t size)
{
    unsigned sum = 0;
    for (size_t i = 0; i < size; i++) {
        sum += ((const unsigned char *)bytes)[i];
    }
    volatile unsigned seen = sum;
    (void)seen;
}

/* The value built of what was read, the caller's. */
static pyhost_value *build(const form *form, const output *out)
{
    pyhost_value *value = NULL;
    pyhost_builder *builder = pyhost_builder_new();
    fuzz_require(form->build(builder, out) == PYHOST_OK, "what was read can be built");
    fuzz_require(pyhost_builder_finish(builder, &value) == PYHOST_OK, "and makes a value");
    pyhost_builder_free(builder);
    return value;
}

static void check_built_again(const form *form, const output *out)
{
    output again = {0};
    pyhost_value *first = build(form, out);
    pyhost_reader reader = pyhost_reader_make(first);
    fuzz_require(form->read(&reader, &again) == PYHOST_OK, "what was built can be read");
    pyhost_value *second = build(form, &again);
    fuzz_require(fuzz_messages_equal(pyh_message_of(first), pyh_message_of(second)), "it is the same again");
    pyhost_value_unref(first);
    pyhost_value_unref(second);
}

/* The C library's nearest double to an int in two's complement. */
static double nearest(const unsigned char *digits, size_t size)
{
    char text[2 * DIGITS + 4];
    unsigned char magnitude[DIGITS];
    unsigned carry = digits[size - 1] >> 7, flipped = carry * 0xff;
    char *end = text + sprintf(text, carry > 0 ? "-0x" : "0x");
    for (size_t i = 0; i < size; i++) {
        carry += digits[i] ^ flipped;
        magnitude[i] = (unsigned char)carry;
        carry >>= 8;
    }
    for (size_t i = size; i > 0; i--) {
        end += sprintf(end, "%02x", magnitude[i - 1]);
    }
    return strtod(text, NULL);
}

static void check_output(const form *form, pyhost_reader before, const output *out)
{
    if (form->read == read_str || form->read == read_bytes || form->read == read_pickle) {
        touch(out->bytes, out->size_bytes);
    }
    if (form->read == read_buffer) {
        touch(out->buffer.data, out->buffer.size_bytes);
        fuzz_require(out->buffer.dimensions <= PYHOST_DIMENSIONS, "the shape is there");
    }
    if (form->read == read_float && pyhost_reader_kind(&before) == PYHOST_KIND_INT) {
        output exact = {0};
        fuzz_require(isfinite(out->real), "an int is a finite number");
        if (read_big_int(&before, &exact) == PYHOST_OK) {
            fuzz_require(out->real == nearest(exact.digits, exact.size_bytes), "it is the nearest double");
        }
    }
    bool is_times_own = form->read == read_time || form->read == read_datetime;
    if (form->build != NULL && !(is_times_own && out->moment.time.zone == PYHOST_ZONE_OTHER)) {
        check_built_again(form, out);
    }
}

static void read_as(pyhost_reader *reader, const form *form)
{
    output out, untouched;
    pyhost_reader before = *reader;
    bool fits = form->kinds >> pyhost_reader_kind(reader) & 1;
    memset(&out, UNTOUCHED, sizeof out);
    memset(&untouched, UNTOUCHED, sizeof untouched);
    pyhost_status status = form->read(reader, &out);
    if (status == PYHOST_OK) {
        fuzz_require(fits, "what is read is of that kind");
        check_moved(&before, reader);
        check_output(form, before, &out);
    } else {
        fuzz_require(is_same_place(&before, reader), "a failure leaves the reader where it was");
        fuzz_require(memcmp(&out, &untouched, sizeof out) == 0, "and its outputs as they were");
        fuzz_require((status == PYHOST_WRONG_KIND) == !fits, "another kind is said to be one, and nothing else is");
    }
}

static const form *form_of(pyhost_kind kind)
{
    size_t i = 0;
    while (i < FORMS && (forms[i].kinds >> kind & 1) == 0) {
        i++;
    }
    return i < FORMS ? &forms[i] : NULL;
}

/* Whether the next value can be read to its end; goes past it. */
static bool read_whole(pyhost_reader *reader)
{
    output out;
    pyhost_reader inner;
    const form *form = form_of(pyhost_reader_kind(reader));
    if (form != NULL) {
        pyhost_status status = form->read(reader, &out);
        return status == PYHOST_OK || (status == PYHOST_OUT_OF_RANGE && pyhost_reader_skip(reader) == PYHOST_OK);
    }
    if (pyhost_reader_enter(reader, &inner) != PYHOST_OK) {
        return false;
    }
    while (pyhost_reader_left(&inner) > 0) {
        if (!read_whole(&inner)) {
            return false;
        }
    }
    fuzz_require(pyhost_reader_leave(reader, &inner) == PYHOST_OK, "what was read to its end can be left");
    return true;
}

/* Whether it is one value, from its first byte to its last. */
static bool is_whole(pyh_message *message)
{
    pyhost_reader reader = pyhost_reader_make(pyh_value_of(message));
    return read_whole(&reader) && reader.at == reader.end && reader.next_buffer == message->buffer_count;
}

static void enter(machine *self)
{
    pyhost_reader *reader = &self->readers[self->level], before = *reader, inner = *reader;
    if (self->level + 1 == LEVELS) {
        return;
    }
    bool fits = is_container(pyhost_reader_kind(reader));
    pyhost_status status = pyhost_reader_enter(reader, &inner);
    fuzz_require(is_same_place(&before, reader), "the reader stays before what is entered");
    fuzz_require((status == PYHOST_WRONG_KIND) == !fits, "every container can be entered, and nothing else");
    if (status == PYHOST_OK) {
        self->level++;
        self->readers[self->level] = self->saved[self->level] = inner;
        fuzz_require(inner.left <= 2 * (size_t)(inner.end - inner.at), "there are bytes for every value");
    }
}

static void leave(machine *self)
{
    if (self->level == 0) {
        return;
    }
    pyhost_reader *reader = &self->readers[self->level - 1], before = *reader;
    if (pyhost_reader_leave(reader, &self->readers[self->level]) == PYHOST_OK) {
        check_moved(&before, reader);
    } else {
        fuzz_require(is_same_place(&before, reader), "a failure leaves the reader where it was");
    }
    self->level--;
}

static void skip(machine *self)
{
    pyhost_reader *reader = &self->readers[self->level], before = *reader;
    if (pyhost_reader_skip(reader) == PYHOST_OK) {
        check_moved(&before, reader);
    } else {
        fuzz_require(is_same_place(&before, reader), "a failure leaves the reader where it was");
    }
}

/* The next value as one of its own, the caller's; NULL: there is none. */
static pyhost_value *copy_next(machine *self)
{
    pyhost_reader *reader = &self->readers[self->level], before = *reader;
    pyhost_value *value = NULL;
    if (pyhost_reader_value(reader, &value) != PYHOST_OK) {
        fuzz_require(is_same_place(&before, reader) && value == NULL, "a failure leaves all as it was");
        return NULL;
    }
    check_moved(&before, reader);
    pyh_message *copy = pyh_message_of(value);
    fuzz_require(copy->size == (size_t)(reader->at - before.at) && memcmp(copy->payload, before.at, copy->size) == 0,
                 "a copy has the bytes of what it was made of");
    fuzz_require(copy->buffer_count == reader->next_buffer - before.next_buffer, "and its buffers");
    for (uint32_t i = 0; i < copy->buffer_count; i++) {
        fuzz_require(copy->buffers[i].data == self->message->buffers[before.next_buffer + i].data, "in their order");
    }
    fuzz_require(is_whole(copy) == read_whole(&before), "and reads as it");
    return value;
}

/* ---- Building ---------------------------------------------------------------------------------------------------- */

/* The first failure sticks. */
static void built(machine *self, pyhost_status status)
{
    fuzz_require(self->failure == PYHOST_OK || status == self->failure, "a builder's first failure sticks");
    self->failure = status;
}

static int64_t program_number(machine *self)
{
    fuzz_input bytes = fuzz_take(&self->program, fuzz_byte(&self->program) % 9);
    uint64_t number = 0;
    memcpy(&number, bytes.at, bytes.left);
    return (int64_t)number;
}

static void program_moment(machine *self, pyhost_datetime *moment)
{
    moment->date.year = (int32_t)(fuzz_byte(&self->program) * 40);
    moment->date.month = (uint8_t)fuzz_byte(&self->program);
    moment->date.day = (uint8_t)fuzz_byte(&self->program);
    moment->time.hour = (uint8_t)fuzz_byte(&self->program);
    moment->time.fold = moment->time.minute = moment->time.second = (uint8_t)(fuzz_byte(&self->program) % 2);
    moment->time.microsecond = fuzz_byte(&self->program) * 4000;
    moment->time.zone = (pyhost_zone)(fuzz_byte(&self->program) % 3);
    moment->time.offset_us = program_number(self);
}

/* One value of a form, with what the program gives for it. */
static void add(machine *self)
{
    output out = {.channel = channel};
    const form *form = &forms[fuzz_byte(&self->program) % FORMS];
    if (form->build == build_str || form->build == build_bytes || form->build == build_big_int) {
        fuzz_input bytes = fuzz_block(&self->program);
        bytes.left = bytes.left < DIGITS ? bytes.left : DIGITS;
        memcpy(out.digits, bytes.at, bytes.left);
        out.bytes = out.digits;
        out.size_bytes = bytes.left;
    } else if (form->build == build_date || form->build == build_time || form->build == build_datetime) {
        program_moment(self, &out.moment);
    } else {
        out.number = program_number(self);
        out.size = (uint64_t)out.number;
        out.real = (double)out.number;
        out.truth = (out.number & 1) != 0;
        out.timedelta.days = out.number / 3;
        out.timedelta.seconds = (uint32_t)out.number % 90000;
        out.timedelta.microseconds = (uint32_t)out.number % 1000007;
    }
    if (form->build != NULL) {
        built(self, form->build(self->builder, &out));
    }
}

static void give_back(void *context, void *data)
{
    machine *self = context;
    self->lent--;
    free(data);
}

static void add_buffer(machine *self)
{
    static const char formats[] = "bBc?hHiIlLqQnNfdx";
    char format = formats[fuzz_byte(&self->program) % (sizeof formats - 1)];
    size_t shape[PYHOST_DIMENSIONS + 1], dimensions = fuzz_byte(&self->program) % (PYHOST_DIMENSIONS + 2);
    size_t size = fuzz_byte(&self->program);
    void *data = calloc(1, size > 0 ? size : 1);
    for (size_t i = 0; i < dimensions; i++) {
        shape[i] = (size_t)program_number(self);
    }
    self->lent++;
    built(self, pyhost_builder_buffer(self->builder, data, size, format, dimensions > 0 ? shape : NULL, dimensions,
                                      give_back, self));
}

static void add_value(machine *self, pyh_message *message)
{
    if (message->size <= WHOLE_MOST && is_whole(message)) {
        built(self, pyhost_builder_value(self->builder, pyh_value_of(message)));
    }
}

static void add_copy(machine *self)
{
    pyhost_value *value = copy_next(self);
    if (value != NULL) {
        add_value(self, pyh_message_of(value));
        pyhost_value_unref(value);
    }
}

/* Reads on in this message, which it takes over. */
static void read_on(machine *self, pyh_message *message)
{
    pyh_message_unref(self->message);
    self->message = message;
    self->level = 0;
    self->readers[0] = self->saved[0] = pyhost_reader_make(pyh_value_of(message));
}

static void finish(machine *self)
{
    pyhost_value *value = NULL;
    pyhost_status status = pyhost_builder_finish(self->builder, &value);
    fuzz_require(self->failure == PYHOST_OK || status == self->failure, "the failure is what finishing gives");
    fuzz_require((status == PYHOST_OK) == (value != NULL), "a value, or a failure");
    fuzz_require(pyh_builder_is_empty(self->builder), "the builder is empty afterwards");
    self->failure = PYHOST_OK;
    if (value != NULL) {
        fuzz_require(is_whole(pyh_message_of(value)), "what a builder makes can be read");
        read_on(self, pyh_message_of(value));
    }
}

static void take_arguments(machine *self)
{
    pyh_message *request = NULL;
    pyhost_status status = pyh_builder_take_arguments(self->builder, &request);
    fuzz_require(self->failure == PYHOST_OK || status == self->failure, "the failure is what a call gets");
    fuzz_require(pyh_builder_is_empty(self->builder), "the builder is empty afterwards");
    self->failure = PYHOST_OK;
    pyh_message_unref(request);
}

/* ---- Programs ---------------------------------------------------------------------------------------------------- */

enum operation {
    ENTER = FORMS,
    LEAVE,
    SKIP,
    COPY,
    SAVE,
    RESTORE,
    ADD,
    ADD_BUFFER,
    ADD_VALUE,
    ADD_COPY,
    KEYWORD,
    OPEN,
    CLOSE,
    FINISH,
    ARGUMENTS,
    CLEAR,
    OPERATIONS
};

static void step(machine *self, unsigned operation)
{
    switch (operation) {
    case ENTER:
        enter(self);
        break;
    case LEAVE:
        leave(self);
        break;
    case SKIP:
        skip(self);
        break;
    case COPY:
        pyhost_value_unref(copy_next(self));
        break;
    case SAVE:
        self->saved[self->level] = self->readers[self->level];
        break;
    case RESTORE:
        self->readers[self->level] = self->saved[self->level];
        break;
    case ADD:
        add(self);
        break;
    case ADD_BUFFER:
        add_buffer(self);
        break;
    case ADD_VALUE:
        add_value(self, self->message);
        break;
    case ADD_COPY:
        add_copy(self);
        break;
    case KEYWORD:
        built(self, pyhost_builder_keyword(self->builder, "name"));
        break;
    case OPEN:
        built(self, pyhost_builder_open(self->builder, (pyhost_kind)(fuzz_byte(&self->program) % 32)));
        break;
    case CLOSE:
        built(self, pyhost_builder_close(self->builder));
        break;
    case FINISH:
        finish(self);
        break;
    case ARGUMENTS:
        take_arguments(self);
        break;
    case CLEAR:
        pyhost_builder_clear(self->builder);
        self->failure = PYHOST_OK;
        break;
    default:
        read_as(&self->readers[self->level], &forms[operation]);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input input = {data, size};
    machine self = {.builder = pyhost_builder_new()};
    unsigned flags = fuzz_byte(&input);
    self.program = fuzz_block(&input);
    read_on(&self, fuzz_message(&input, flags & BUFFERS, (flags & CHANNEL) != 0 ? pyh_channel_of(channel) : NULL));
    while (self.program.left > 0) {
        step(&self, fuzz_byte(&self.program) % OPERATIONS);
    }
    pyhost_builder_free(self.builder);
    pyh_message_unref(self.message);
    fuzz_require(self.lent == 0, "what was lent is given back");
    return 0;
}

/* ---- Seeds ------------------------------------------------------------------------------------------------------- */

/* Builds a value of the kind. */
static void build_seed(pyhost_builder *builder, pyhost_kind kind)
{
    static unsigned char memory[8] = "memory";
    const size_t shape[] = {2, 4};
    const pyhost_datetime moment = {
        .date = {.year = 2024, .month = 2, .day = 29},
        .time = {.hour = 23, .second = 58, .microsecond = 999999, .zone = PYHOST_ZONE_FIXED, .offset_us = -1},
    };
    const output out = {
        .truth = true,
        .number = -5,
        .real = 0.5,
        .bytes = memory,
        .size_bytes = 7,
        .digits = "\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        .moment = moment,
        .timedelta = {.days = -1, .seconds = 7, .microseconds = 9},
        .channel = channel,
    };
    const form *form = form_of(kind);
    if (is_container(kind)) {
        pyhost_builder_open(builder, kind);
        pyhost_builder_str(builder, "key", 3);
        pyhost_builder_open(builder, PYHOST_KIND_LIST);
        pyhost_builder_int(builder, 1);
        pyhost_builder_close(builder);
        pyhost_builder_close(builder);
    } else if (kind == PYHOST_KIND_BUFFER) {
        pyhost_builder_buffer(builder, memory, sizeof memory, 'B', shape, CHECK_COUNT(shape), NULL, NULL);
    } else if (kind == PYHOST_KIND_BYTEARRAY) {
        pyhost_builder_bytearray(builder, memory, sizeof memory);
    } else {
        form->build(builder, &out);
    }
}

/* A program that reads a value in every way, goes into it, and builds one that holds it twice. */
static void write_program(FILE *file)
{
    const unsigned char ends[] = {
        ENTER, COPY, RESTORE, SKIP, ADD_COPY, LEAVE, RESTORE, OPEN, PYHOST_KIND_LIST,
        ADD_VALUE, ADD_COPY, CLOSE, FINISH, ENTER, SKIP, LEAVE, CLEAR,
    };
    fputc(2 * FORMS + (int)sizeof ends, file);
    for (int i = 0; i < FORMS; i++) {
        fputc(i, file);
        fputc(RESTORE, file);
    }
    fwrite(ends, 1, sizeof ends, file);
}

/* Writes an input of the builder's one value, and frees the builder. */
static void write_seed(const char *folder, const char *name, size_t index, pyhost_builder *builder)
{
    pyhost_value *value = NULL;
    fuzz_require(pyhost_builder_finish(builder, &value) == PYHOST_OK, name);
    const pyh_message *message = pyh_message_of(value);
    bool has_channel =
        message->buffer_count > 0 && pyh_value_channel_of_buffer(&message->buffers[message->buffer_count - 1]) != NULL;
    FILE *file = fuzz_seed_open(folder, name, index);
    fputc((int)(has_channel ? (message->buffer_count - 1) | CHANNEL : message->buffer_count), file);
    write_program(file);
    fuzz_seed_write(file, pyh_message_of(value));
    pyhost_value_unref(value);
    pyhost_builder_free(builder);
}

/* A value of the kind in as many lists as can be. */
static pyhost_builder *build_deep_seed(pyhost_kind kind, int levels)
{
    pyhost_builder *builder = pyhost_builder_new();
    for (int i = 0; i < PYH_CODEC_DEPTH - levels; i++) {
        pyhost_builder_open(builder, PYHOST_KIND_LIST);
    }
    build_seed(builder, kind);
    for (int i = 0; i < PYH_CODEC_DEPTH - levels; i++) {
        pyhost_builder_close(builder);
    }
    return builder;
}

static void write_seeds(const char *folder)
{
    for (int kind = PYHOST_KIND_NONE; kind < PYHOST_KIND_PICKLE; kind++) {
        pyhost_builder *builder = pyhost_builder_new();
        build_seed(builder, (pyhost_kind)kind);
        write_seed(folder, "kind", (size_t)kind, builder);
    }
    pyhost_builder *builder = pyhost_builder_new();
    build_seed(builder, PYHOST_KIND_CHANNEL);
    write_seed(folder, "kind", PYHOST_KIND_CHANNEL, builder);
    write_seed(folder, "deep", 0, build_deep_seed(PYHOST_KIND_NONE, 0));
    write_seed(folder, "deep", 2, build_deep_seed(PYHOST_KIND_TIMEZONE, 2));
    write_seed(folder, "deep", 3, build_deep_seed(PYHOST_KIND_DATETIME, 3));
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_require(pyhost_channel_new(1, &channel) == PYHOST_OK, "there is memory");
    const char *folder = fuzz_seed_folder(*argc, *argv);
    if (folder != NULL) {
        write_seeds(folder);
    }
    return 0;
}
