/* join.c: short texts of Python, one after another as UTF-8. It takes Python's stable ABI of 3.11. Everything else of a
 * call runs without the GIL; this needs it, since it reads objects, and so it is called through ctypes.PyDLL and not by
 * cffi.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#ifdef _WIN32
#define EXPORTED __declspec(dllexport)
#else
#define EXPORTED __attribute__((visibility("default")))
#endif

enum { AHEAD = 12 }; /* texts whose objects are fetched: what an object costs is waiting for its two cache lines */

static void fetch(const void *object) {
#if defined(__GNUC__)
    __builtin_prefetch(object);
    __builtin_prefetch((const char *)object + 64);
#else
    (void)object;
#endif
}

EXPORTED int64_t fe_join(PyObject *texts, int64_t first, int64_t last, uint8_t *room, int64_t capacity, int64_t *sizes,
                         int64_t *chars);

/* Copies texts `first` up to `last` of a tuple to `room`. sizes and chars receive the bytes and code points of each.
 * Returns how many texts were taken: it stops before one that does not fit, is no plain str (a subclass may answer
 * for itself as it likes), or holds lone surrogates, which have no UTF-8. No exception is left set. */
int64_t fe_join(PyObject *texts, int64_t first, int64_t last, uint8_t *room, int64_t capacity, int64_t *sizes,
                int64_t *chars) {
    int64_t used = 0;
    for (int64_t i = first; i < last; i++) {
        if (i + AHEAD < last) fetch(PyTuple_GetItem(texts, (Py_ssize_t)(i + AHEAD)));
        PyObject *const text = PyTuple_GetItem(texts, (Py_ssize_t)i); /* borrowed: a tuple does not change */
        Py_ssize_t size;
        if (!text || !PyUnicode_CheckExact(text)) {
            PyErr_Clear();
            return i - first;
        }
        /* Of an ASCII str its own memory; of another Python makes the UTF-8 now and keeps it with the str. */
        const char *const utf8 = PyUnicode_AsUTF8AndSize(text, &size);
        if (!utf8) PyErr_Clear();
        if (!utf8 || size > capacity - used) return i - first;
        if (size) memcpy(room + used, utf8, (size_t)size);
        used += size;
        sizes[i - first] = size;
        chars[i - first] = PyUnicode_GetLength(text);
    }
    return last - first;
}
