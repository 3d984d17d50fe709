/* main: the pyhost executable. */
#include "pyhost.h"

int main(int argc, char **argv)
{
    return pyhost_main(argc, argv);
}
