/* _core: what Python's import finds. The module itself is in libpyhost, of which a process has one copy. */
#include <Python.h>

PyObject *pyhost_core_init(void);

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC PyInit__core(void)
{
    return pyhost_core_init();
}
