/* lines: what a thread has written to a plugin's stdout and stderr, cut into the records of a log.
 *
 * A line becomes a record when it ends. Until then it is its thread's own, so that what threads and calls write is
 * never mixed in one record. On stderr a traceback is one record, as is a line with the indented ones that were written
 * together with it. Functions act on the calling thread; GIL held or not. */
#ifndef PYH_LINES_H
#define PYH_LINES_H

#include "log.h"

typedef enum pyh_stream {
    PYH_STDOUT,
    PYH_STDERR,
    PYH_STREAMS,
} pyh_stream;

/* Writes bytes that the interpreter's code has written in the call of that number (0: outside any). What the thread
 * has left of another call, or in another interpreter, ends first. */
void pyh_lines_write(pyh_log_source *source, uint64_t call, pyh_stream stream, const char *bytes, size_t size);

/* Ends the line that the thread has begun, if it has. */
void pyh_lines_flush(pyh_stream stream);

/* How many lines this thread has begun. */
extern _Thread_local uint32_t pyh_lines_begun;

/* Ends those that were begun in the interpreter. For the end of each call, so next to free where there are none. */
void pyh_lines_end_begun(const pyh_log_source *source);
static inline void pyh_lines_end(const pyh_log_source *source)
{
    if (pyh_lines_begun > 0) {
        pyh_lines_end_begun(source);
    }
}

#endif
