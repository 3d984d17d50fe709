/* log: what plugins print and log, on its way to the host.
 *
 * A log is the queue of records of all interpreters of one router. Adding a record never waits. What an interpreter has
 * waiting is bounded in bytes: a record beyond that is lost, and counted on the one before it, so that an interpreter
 * which floods the log loses its own records and nobody else's. Any thread, GIL held or not. */
#ifndef PYH_LOG_H
#define PYH_LOG_H

#include <stddef.h>

#include "sync.h"

enum {
    PYH_LOG_TEXT_LIMIT = 64 * 1024,          /* bytes of one record's text; what is longer is cut */
    PYH_LOG_WAITING_LIMIT = 4 * 1024 * 1024, /* bytes that one interpreter's records may take until they are read */
};

struct pyh_log_record;

/* One router's queue. Reference counted. */
typedef struct pyh_log {
    _Atomic uint32_t references;
    _Atomic int level; /* from which on the host wants records; as Python's levels; for the plugins to ask */
    pyh_mutex mutex;
    pyh_condition filled;
    /* guarded by mutex */
    struct pyh_log_record *first;
    struct pyh_log_record *last;
    bool open;
    bool waited_for; /* a reader sleeps */
} pyh_log;

/* One interpreter, as the writer of records. Reference counted: it outlives the interpreter while its records wait. */
typedef struct pyh_log_source {
    _Atomic uint32_t references;
    /* fixed after new */
    uint64_t id;  /* the interpreter's */
    pyh_log *log; /* owned */
    /* guarded by the log's mutex */
    char *plugin;  /* owned; NULL until it is named, fixed then */
    char *version; /* owned */
    size_t waiting_bytes;
    struct pyh_log_record *newest; /* of those that wait; NULL for none */
} pyh_log_source;

typedef struct pyh_log_record {
    struct pyh_log_record *next; /* guarded by the log's mutex, the taker's then */
    uint64_t lost;               /* records of the same source that were lost after this one; guarded likewise */
    /* fixed */
    pyh_log_source *source; /* owned */
    int64_t time_ns;        /* of the system's clock, since 1970 */
    uint64_t call;          /* the call that it came from; 0 for none */
    int level;              /* as Python's */
    size_t left_out;        /* bytes by which the text was too long */
    size_t logger_size;
    size_t text_size;
    char bytes[]; /* the logger's name, then the text; nearly always UTF-8, not terminated */
} pyh_log_record;

/* An empty log that is not open. NULL: no memory. */
pyh_log *pyh_log_new(void);
pyh_log *pyh_log_unref(pyh_log *log);

/* From now on records are accepted, for a reader who wants those from this level on. */
void pyh_log_open(pyh_log *log, int level);
/* Nothing more is accepted; what waits can still be taken, and wakes its reader. Calling it again changes nothing. */
void pyh_log_close(pyh_log *log);
bool pyh_log_is_open(pyh_log *log);
/* Drops what waits. */
void pyh_log_clear(pyh_log *log);

/* The oldest records, at most so many (> 0), linked by `next`: they are the caller's. TIMEOUT when there are none by
 * the deadline, CLOSED when there will be none. One reader at a time. */
pyhost_status pyh_log_take(pyh_log *log, int64_t deadline_ns, size_t most, pyh_log_record **first);
/* Frees one record; the next one, or NULL. */
pyh_log_record *pyh_log_record_free(pyh_log_record *record);

/* The interpreter of that number. NULL: no memory. */
pyh_log_source *pyh_log_source_new(pyh_log *log, uint64_t id);
pyh_log_source *pyh_log_source_ref(pyh_log_source *source);
pyh_log_source *pyh_log_source_unref(pyh_log_source *source);
/* Says what runs there, once; later calls change nothing. OK or NO_MEMORY. */
pyhost_status pyh_log_source_name(pyh_log_source *source, const char *plugin, const char *version);
/* What runs there, valid as long as the source; empty texts before it is named. */
void pyh_log_source_names(pyh_log_source *source, const char **plugin, const char **version);

/* What becomes a record, copied. */
typedef struct pyh_log_entry {
    uint64_t call;
    int level;
    const char *logger;
    size_t logger_size; /* names over PYH_LOG_TEXT_LIMIT are cut, too */
    const char *text;
    size_t text_size;
    size_t left_out; /* bytes that the text lacks already */
} pyh_log_entry;

/* Adds a record, or loses it. */
void pyh_log_add(pyh_log_source *source, const pyh_log_entry *entry);

#endif
