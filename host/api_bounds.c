/* api_bounds: which dates, times and shapes there are; for what a program builds, and for what it reads: it need not
 * look again at what a reader gives. */
#include "api.h"

enum { DAYS_MOST = 999999999, SECONDS_A_DAY = 86400 };

static int days_of_month(int32_t year, uint8_t month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && is_leap ? 29 : days[month - 1];
}

bool pyh_date_is_valid(const pyhost_date *date)
{
    return date->year >= 1 && date->year <= 9999 && date->month >= 1 && date->month <= 12 && date->day >= 1 &&
           date->day <= days_of_month(date->year, date->month);
}

bool pyh_time_is_valid(const pyhost_time *time)
{
    return time->hour < 24 && time->minute < 60 && time->second < 60 && time->microsecond < 1000000 && time->fold < 2 &&
           (time->zone != PYHOST_ZONE_FIXED || pyh_offset_is_valid(time->offset_us));
}

bool pyh_timedelta_is_valid(const pyhost_timedelta *timedelta)
{
    return timedelta->days >= -DAYS_MOST && timedelta->days <= DAYS_MOST && timedelta->seconds < SECONDS_A_DAY &&
           timedelta->microseconds < 1000000;
}

bool pyh_offset_is_valid(int64_t offset_us)
{
    int64_t day_us = (int64_t)SECONDS_A_DAY * 1000000;
    return offset_us > -day_us && offset_us < day_us;
}

size_t pyh_item_size(char format)
{
    switch (format) {
    case 'b':
    case 'B':
    case 'c':
    case '?':
        return 1;
    case 'e':
        return 2;
    case 'h':
    case 'H':
        return sizeof(short);
    case 'i':
    case 'I':
        return sizeof(int);
    case 'l':
    case 'L':
        return sizeof(long);
    case 'q':
    case 'Q':
        return sizeof(long long);
    case 'n':
    case 'N':
        return sizeof(size_t);
    case 'f':
        return sizeof(float);
    case 'd':
        return sizeof(double);
    case 'P':
        return sizeof(void *);
    default:
        return 0;
    }
}

bool pyh_shape_is_valid(size_t size_bytes, char format, const size_t *shape, size_t dimensions)
{
    size_t item_bytes = pyh_item_size(format);
    size_t total = item_bytes > 0 ? item_bytes : 1;
    for (size_t i = 0; i < dimensions; i++) {
        if (__builtin_mul_overflow(total, shape[i], &total) || (total == 0 && dimensions > 1)) {
            return false;
        }
    }
    return item_bytes > 0 ? total == size_bytes : total <= size_bytes;
}
