/* lines: see lines.h. A line's buffer stays with its thread while it is small; pthread frees it with the thread. */
#include "lines.h"

#include <stdlib.h>
#include <string.h>

enum { SMALL = 1024 };

typedef struct {
    pyh_log_source *source; /* owned; NULL: no line has begun */
    uint64_t call;
    char *bytes;
    size_t size;
    size_t capacity;
    size_t left_out; /* bytes that went beyond the limit */
    size_t start;    /* where the last line in it starts: a traceback has many */
} unfinished;

static const struct {
    const char *logger;
    int level;
} streams[PYH_STREAMS] = {[PYH_STDOUT] = {"stdout", 20}, [PYH_STDERR] = {"stderr", 30}}; /* INFO and WARNING */

static const char traceback_head[] = "Traceback (most recent call last):";

_Thread_local uint32_t pyh_lines_begun;
static _Thread_local unfinished thread_lines[PYH_STREAMS];
static pthread_key_t thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The thread ends: pthread calls this on it. */
static void forget_thread(void *lines)
{
    (void)lines;
    for (pyh_stream stream = 0; stream < PYH_STREAMS; stream++) {
        pyh_lines_flush(stream);
        free(thread_lines[stream].bytes);
        thread_lines[stream] = (unfinished){0};
    }
}

static void make_key(void)
{
    if (pthread_key_create(&thread_end, forget_thread) != 0) {
        abort();
    }
}

/* Makes room for so many bytes; whether there is. */
static bool reserve(unfinished *line, size_t size)
{
    if (size > line->capacity) {
        size_t capacity = size < SMALL / 2 ? SMALL / 2 : 2 * size;
        char *bytes = realloc(line->bytes, capacity);
        if (bytes == NULL) {
            return false;
        }
        line->bytes = bytes;
        line->capacity = capacity;
    }
    return true;
}

static void append(unfinished *line, const char *bytes, size_t size)
{
    /* One byte more than a record takes, so that the log sees where a character ends. */
    size_t room = PYH_LOG_TEXT_LIMIT + 1 - line->size;
    size_t taken = size < room ? size : room;
    if (taken > 0 && line->left_out == 0 && reserve(line, line->size + taken)) {
        memcpy(line->bytes + line->size, bytes, taken);
        line->size += taken;
    } else {
        taken = 0;
    }
    line->left_out += size - taken;
}

void pyh_lines_flush(pyh_stream stream)
{
    unfinished *line = &thread_lines[stream];
    if (line->source == NULL) {
        return;
    }
    pyh_log_entry entry = {
        .call = line->call,
        .level = streams[stream].level,
        .logger = streams[stream].logger,
        .logger_size = strlen(streams[stream].logger),
        .text = line->bytes != NULL ? line->bytes : "",
        .text_size = line->size,
        .left_out = line->left_out,
    };
    pyh_log_add(line->source, &entry);
    line->source = pyh_log_source_unref(line->source);
    line->size = line->left_out = line->start = 0;
    if (line->capacity > SMALL) {
        free(line->bytes);
        line->bytes = NULL;
        line->capacity = 0;
    }
    pyh_lines_begun--;
}

void pyh_lines_end_begun(const pyh_log_source *source)
{
    for (pyh_stream stream = 0; stream < PYH_STREAMS; stream++) {
        if (thread_lines[stream].source == source) {
            pyh_lines_flush(stream);
        }
    }
}

static bool is_indented(const char *text, const char *end)
{
    return text < end && (*text == ' ' || *text == '\t');
}

/* Whether the record goes on after the line that has just ended; `next` is what was written together with it. */
static bool goes_on(const unfinished *line, pyh_stream stream, const char *next, const char *end)
{
    if (stream != PYH_STDERR || line->left_out > 0) {
        return false;
    }
    size_t head = sizeof traceback_head - 1;
    bool is_traceback = line->size >= head && memcmp(line->bytes, traceback_head, head) == 0;
    bool is_inside = line->start == 0 || is_indented(line->bytes + line->start, line->bytes + line->size);
    return is_indented(next, end) || (is_traceback && is_inside);
}

static void begin(unfinished *line, pyh_log_source *source, uint64_t call)
{
    /* Before there is memory for it: the end of the thread ends an empty one, too. */
    pthread_once(&once, make_key);
    pthread_setspecific(thread_end, thread_lines);
    line->source = pyh_log_source_ref(source);
    line->call = call;
    pyh_lines_begun++;
}

void pyh_lines_write(pyh_log_source *source, uint64_t call, pyh_stream stream, const char *bytes, size_t size)
{
    unfinished *line = &thread_lines[stream];
    const char *end = bytes + size;
    if (line->source != source || line->call != call) {
        pyh_lines_flush(stream);
    }
    while (bytes < end) {
        if (line->source == NULL) {
            begin(line, source, call);
        }
        const char *newline = memchr(bytes, '\n', (size_t)(end - bytes));
        append(line, bytes, (size_t)((newline != NULL ? newline : end) - bytes));
        bytes = newline != NULL ? newline + 1 : end;
        if (newline != NULL && goes_on(line, stream, bytes, end)) {
            append(line, "\n", 1);
            line->start = line->size;
        } else if (newline != NULL) {
            pyh_lines_flush(stream);
        }
    }
}
