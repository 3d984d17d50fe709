/* log: see log.h. Records are linked, and allocated before the mutex is taken. A record holds its source, the source
 * its log, and the log its records: whoever is done with a log has to clear it. */
#include "log.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

pyh_log *pyh_log_new(void)
{
    pyh_log *log = calloc(1, sizeof *log);
    if (log != NULL) {
        atomic_init(&log->references, 1);
        pyh_mutex_init(&log->mutex, PYH_RANK_LOG);
        pyh_condition_init(&log->filled);
    }
    return log;
}

static pyh_log *log_ref(pyh_log *log)
{
    atomic_fetch_add_explicit(&log->references, 1, memory_order_relaxed);
    return log;
}

pyh_log *pyh_log_unref(pyh_log *log)
{
    if (log != NULL && atomic_fetch_sub_explicit(&log->references, 1, memory_order_acq_rel) == 1) {
        pyh_condition_deinit(&log->filled);
        pyh_mutex_deinit(&log->mutex);
        free(log);
    }
    return NULL;
}

void pyh_log_open(pyh_log *log, int level)
{
    atomic_store(&log->level, level);
    pyh_mutex_lock(&log->mutex);
    log->open = true;
    pyh_mutex_unlock(&log->mutex);
}

void pyh_log_close(pyh_log *log)
{
    pyh_mutex_lock(&log->mutex);
    log->open = false;
    pyh_condition_broadcast(&log->filled);
    pyh_mutex_unlock(&log->mutex);
}

bool pyh_log_is_open(pyh_log *log)
{
    pyh_mutex_lock(&log->mutex);
    bool open = log->open;
    pyh_mutex_unlock(&log->mutex);
    return open;
}

void pyh_log_clear(pyh_log *log)
{
    pyh_log_record *record;
    while (pyh_log_take(log, 0, SIZE_MAX, &record) == PYHOST_OK) {
        while (record != NULL) {
            record = pyh_log_record_free(record);
        }
    }
}

static size_t size_of(const pyh_log_record *record)
{
    return sizeof *record + record->logger_size + record->text_size;
}

/* Takes the first record off, which is there. The mutex is held. */
static pyh_log_record *take_first(pyh_log *log)
{
    pyh_log_record *record = log->first;
    log->first = record->next;
    record->source->waiting_bytes -= size_of(record);
    if (record->source->newest == record) {
        record->source->newest = NULL;
    }
    return record;
}

pyhost_status pyh_log_take(pyh_log *log, int64_t deadline_ns, size_t most, pyh_log_record **first)
{
    pyhost_status status = PYHOST_OK;
    pyh_mutex_lock(&log->mutex);
    while (log->first == NULL && log->open && status == PYHOST_OK) {
        if (deadline_ns == 0) {
            status = PYHOST_TIMEOUT;
        } else {
            log->waited_for = true;
            status = pyh_condition_wait(&log->filled, &log->mutex, deadline_ns);
            log->waited_for = false;
        }
    }
    if (log->first != NULL) {
        status = PYHOST_OK;
        pyh_log_record **end = first;
        for (size_t count = 0; count < most && log->first != NULL; count++) {
            *end = take_first(log);
            end = &(*end)->next;
        }
        *end = NULL;
    } else if (!log->open) {
        status = PYHOST_CLOSED;
    }
    pyh_mutex_unlock(&log->mutex);
    return status;
}

pyh_log_record *pyh_log_record_free(pyh_log_record *record)
{
    pyh_log_record *next = record->next;
    pyh_log_source_unref(record->source);
    free(record);
    return next;
}

pyh_log_source *pyh_log_source_new(pyh_log *log, uint64_t id)
{
    pyh_log_source *source = calloc(1, sizeof *source);
    if (source != NULL) {
        atomic_init(&source->references, 1);
        source->id = id;
        source->log = log_ref(log);
    }
    return source;
}

pyh_log_source *pyh_log_source_ref(pyh_log_source *source)
{
    atomic_fetch_add_explicit(&source->references, 1, memory_order_relaxed);
    return source;
}

pyh_log_source *pyh_log_source_unref(pyh_log_source *source)
{
    if (source != NULL && atomic_fetch_sub_explicit(&source->references, 1, memory_order_acq_rel) == 1) {
        pyh_log_unref(source->log);
        free(source->plugin);
        free(source->version);
        free(source);
    }
    return NULL;
}

pyhost_status pyh_log_source_name(pyh_log_source *source, const char *plugin, const char *version)
{
    char *plugin_copy = strdup(plugin), *version_copy = strdup(version);
    pyhost_status status = plugin_copy != NULL && version_copy != NULL ? PYHOST_OK : PYHOST_NO_MEMORY;
    pyh_mutex_lock(&source->log->mutex);
    if (status == PYHOST_OK && source->plugin == NULL) {
        source->plugin = plugin_copy;
        source->version = version_copy;
        plugin_copy = version_copy = NULL;
    }
    pyh_mutex_unlock(&source->log->mutex);
    free(plugin_copy);
    free(version_copy);
    return status;
}

void pyh_log_source_names(pyh_log_source *source, const char **plugin, const char **version)
{
    pyh_mutex_lock(&source->log->mutex);
    *plugin = source->plugin != NULL ? source->plugin : "";
    *version = source->version != NULL ? source->version : "";
    pyh_mutex_unlock(&source->log->mutex);
}

/* How much of the text is kept: at most the limit, and no part of a character. */
static size_t kept(const char *text, size_t size)
{
    if (size <= PYH_LOG_TEXT_LIMIT) {
        return size;
    }
    size_t end = PYH_LOG_TEXT_LIMIT;
    while (end > PYH_LOG_TEXT_LIMIT - 4 && ((unsigned char)text[end] & 0xC0) == 0x80) {
        end--;
    }
    return end;
}

/* NULL: no memory. */
static pyh_log_record *record_new(pyh_log_source *source, const pyh_log_entry *entry)
{
    struct timespec now;
    size_t logger_size = kept(entry->logger, entry->logger_size), text_size = kept(entry->text, entry->text_size);
    pyh_log_record *record = malloc(sizeof *record + logger_size + text_size);
    if (record == NULL) {
        return NULL;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    *record = (pyh_log_record){
        .source = pyh_log_source_ref(source),
        .time_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec,
        .call = entry->call,
        .level = entry->level,
        .left_out = entry->left_out + entry->text_size - text_size,
        .logger_size = logger_size,
        .text_size = text_size,
    };
    memcpy(record->bytes, entry->logger, logger_size);
    memcpy(record->bytes + logger_size, entry->text, text_size);
    return record;
}

/* Whether the log has taken it over. The mutex is held. */
static bool append(pyh_log *log, pyh_log_record *record)
{
    pyh_log_source *source = record->source;
    if (!log->open || source->waiting_bytes + size_of(record) > PYH_LOG_WAITING_LIMIT) {
        return false;
    }
    if (log->first == NULL) {
        log->first = record;
    } else {
        log->last->next = record;
    }
    log->last = record;
    source->newest = record;
    source->waiting_bytes += size_of(record);
    return true;
}

void pyh_log_add(pyh_log_source *source, const pyh_log_entry *entry)
{
    pyh_log *log = source->log;
    pyh_log_record *record = record_new(source, entry);
    pyh_mutex_lock(&log->mutex);
    bool added = record != NULL && append(log, record);
    if (!added && source->newest != NULL) {
        source->newest->lost++;
    }
    bool wake = added && log->waited_for;
    pyh_mutex_unlock(&log->mutex);
    if (wake) {
        pyh_condition_signal(&log->filled);
    }
    if (record != NULL && !added) {
        pyh_log_record_free(record);
    }
}
