/* api_host: see api_host.h. The table is a list under a lock, walked at each call: programs offer a handful. */
#include "api_host.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "sync.h"

typedef struct entry {
    char *name; /* owned */
    pyhost_host_function *function;
    void *context;
    struct entry *next;
} entry;

static struct {
    pthread_once_t once;
    pyh_mutex mutex;
    entry *first; /* guarded by mutex; entries stay, their function may become NULL */
} table = {.once = PTHREAD_ONCE_INIT};

struct pyhost_request {
    pyhost_reader arguments;
    pyhost_reader keywords;
    char *failure; /* owned */
};

static void table_init(void)
{
    pyh_mutex_init(&table.mutex, PYH_RANK_HOST_FUNCTIONS);
}

static bool is_identifier(const char *name)
{
    if (name[0] == '\0' || isdigit((unsigned char)name[0])) {
        return false;
    }
    for (const char *at = name; *at != '\0'; at++) {
        if (!isalnum((unsigned char)*at) && *at != '_') {
            return false;
        }
    }
    return true;
}

static entry *find(const char *name)
{
    entry *at = table.first;
    while (at != NULL && strcmp(at->name, name) != 0) {
        at = at->next;
    }
    return at;
}

/* A new entry of the name at the front; NULL: no memory. The mutex is held. */
static entry *add(const char *name)
{
    entry *made = calloc(1, sizeof *made);
    if (made != NULL && (made->name = strdup(name)) == NULL) {
        free(made);
        made = NULL;
    }
    if (made != NULL) {
        made->next = table.first;
        table.first = made;
    }
    return made;
}

pyhost_status pyhost_host_register(const char *name, pyhost_host_function *function, void *context)
{
    if (!is_identifier(name)) {
        return PYHOST_MISUSED;
    }
    pthread_once(&table.once, table_init);
    pyh_mutex_lock(&table.mutex);
    entry *place = find(name);
    if (place == NULL) {
        place = add(name);
    }
    if (place != NULL) {
        place->function = function;
        place->context = context;
    }
    pyh_mutex_unlock(&table.mutex);
    return place != NULL ? PYHOST_OK : PYHOST_NO_MEMORY;
}

pyhost_reader pyhost_request_arguments(const pyhost_request *request)
{
    return request->arguments;
}

pyhost_reader pyhost_request_keywords(const pyhost_request *request)
{
    return request->keywords;
}

pyhost_status pyhost_request_fail(pyhost_request *request, const char *message)
{
    free(request->failure);
    request->failure = strdup(message);
    return PYHOST_RAISED;
}

/* The result that the function has put together; None if it has put nothing. */
static pyhost_status take_result(pyhost_builder *builder, pyh_message **reply)
{
    pyhost_value *value = NULL;
    if (pyh_builder_is_empty(builder)) {
        pyhost_builder_none(builder);
    }
    pyhost_status status = pyhost_builder_finish(builder, &value);
    if (status == PYHOST_OK) {
        *reply = pyh_message_of(value);
    }
    return status;
}

pyhost_status pyh_host_call(const char *name, pyh_message *arguments, pyh_message **reply, char **text)
{
    pthread_once(&table.once, table_init);
    pyh_mutex_lock(&table.mutex);
    entry *found = find(name);
    pyhost_host_function *function = found != NULL ? found->function : NULL;
    void *context = found != NULL ? found->context : NULL;
    pyh_mutex_unlock(&table.mutex);
    if (function == NULL) {
        return PYHOST_NO_FUNCTION;
    }
    pyhost_request request = {0};
    pyhost_reader whole = pyhost_reader_make(pyh_value_of(arguments));
    whole.left = 2; /* two values in one message */
    pyhost_builder *builder = pyhost_builder_new();
    pyhost_status status = builder != NULL ? pyhost_reader_enter(&whole, &request.arguments) : PYHOST_NO_MEMORY;
    status = status == PYHOST_OK ? pyhost_reader_skip(&whole) : status;
    status = status == PYHOST_OK ? pyhost_reader_enter(&whole, &request.keywords) : status;
    status = status == PYHOST_OK ? function(context, &request, builder) : status;
    status = status == PYHOST_OK ? take_result(builder, reply) : status;
    *text = request.failure;
    pyhost_builder_free(builder);
    return status;
}
