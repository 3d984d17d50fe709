/* status: the names and messages of outcomes. Constant tables; any thread. */
#include "pyhost.h"

const char *pyhost_status_name(pyhost_status status)
{
    switch (status) {
#define NAME_CASE(name, value, message)                                                                                \
    case PYHOST_##name:                                                                                                \
        return #name;
        PYHOST_STATUS_MAP(NAME_CASE)
#undef NAME_CASE
    }
    return "UNKNOWN";
}

const char *pyhost_status_message(pyhost_status status)
{
    switch (status) {
#define MESSAGE_CASE(name, value, message)                                                                             \
    case PYHOST_##name:                                                                                                \
        return message;
        PYHOST_STATUS_MAP(MESSAGE_CASE)
#undef MESSAGE_CASE
    }
    return "unknown status";
}

const char *pyhost_version(void)
{
    return PYHOST_VERSION;
}
