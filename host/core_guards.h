/* core_guards: what a plugin's interpreter has in place of functions that would end or crash the whole process. */
#ifndef PYH_CORE_GUARDS_H
#define PYH_CORE_GUARDS_H

#include <Python.h>

/* _core.install_guards(importer): puts them in place, before anything of the plugin is imported. They stand in the
 * modules that os, signal and threading take them from; the importer of built-in modules sees to those that come later.
 * docs/isolation.md says what no guard can cover. */
PyObject *pyh_core_install_guards(PyObject *module, PyObject *importer);

#endif
