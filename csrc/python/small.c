/* small.c: small calls of one tokenizer as functions of Python, from objects to objects. Of a call of a microsecond
 * cffi's way is most: arrays are made for it, and lists of them. It takes Python's stable ABI of 3.11, and the GIL.
 *
 * Each function answers None where its arguments are anything but the usual ones, and wherever something is wrong: then
 * the general road is to be taken, which alone says what it is. So a function need not know all that may be given.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <string.h>

#include "fe.h"

#ifdef _WIN32
#define EXPORTED __declspec(dllexport)
#else
#define EXPORTED __attribute__((visibility("default")))
#endif

enum {
    FEW = 512,     /* ids, or bytes of a piece, for which there is room on the stack */
    ROOM = 4096,   /* bytes of a few ids: enough for nearly all of them */
    MOST = 1 << 17 /* ids of a list: a longer one would keep the GIL for milliseconds */
};

/* A function's `self` is the address of a tokenizer, and what keeps it alive. */
static const fe_tokenizer *tokenizer_of(PyObject *self) { return PyLong_AsVoidPtr(PyTuple_GetItem(self, 0)); }

static PyObject *none(void) {
    PyErr_Clear();
    return Py_NewRef(Py_None);
}

/* The value of an int; a number that is no id where the object is none, or there are more bits. */
static int64_t id_of(PyObject *object) { return PyLong_Check(object) ? PyLong_AsLongLong(object) : -1; }

/* What no other thread changes meanwhile: nothing here lets go of the GIL, if there is one. */
static PyObject *held(PyObject *list) {
#ifdef Py_GIL_DISABLED
    return PyList_GetSlice(list, 0, PyList_Size(list));
#else
    return Py_NewRef(list);
#endif
}

/* Bytes that grow. */
typedef struct fe_text {
    uint8_t few[ROOM], *bytes; /* NULL: they still are in `few` */
    int64_t size, capacity;
} fe_text;

/* Adds what at most FEW ids decode to. False where one is none, or there is no memory. */
static bool add(fe_text *text, const fe_tokenizer *t, const int64_t *ids, int64_t count) {
    for (int64_t end, length;;) {
        uint8_t *const to = (text->bytes ? text->bytes : text->few) + text->size;
        const int64_t room = text->capacity - text->size;
        if (fe_decode(t, ids, count, &count, 1, NULL, 0, to, room, &end, &length) != FE_OK) return false;
        if (length <= room) {
            text->size += length;
            return true;
        }
        const int64_t more = 2 * (text->size + length);
        uint8_t *const grown = PyMem_Realloc(text->bytes, (size_t)more);
        if (!grown) return false;
        if (!text->bytes) memcpy(grown, text->few, (size_t)text->size);
        text->bytes = grown;
        text->capacity = more;
    }
}

/* What a list of ids decodes to, as bytes, or as text where there is a name of an error handler. */
static PyObject *decode_list(PyObject *self, PyObject *list, const char *errors) {
    if (!PyList_CheckExact(list) || PyList_Size(list) > MOST) return none();
    PyObject *const row = held(list);
    if (!row) return none();
    fe_text text;
    text.bytes = NULL;
    text.size = 0;
    text.capacity = ROOM;
    const int64_t count = PyList_Size(row);
    bool good = true;
    for (int64_t first = 0; first < count && good; first += FEW) {
        int64_t ids[FEW];
        const int64_t part = count - first < FEW ? count - first : FEW;
        for (int64_t i = 0; i < part; i++) ids[i] = id_of(PyList_GetItem(row, (Py_ssize_t)(first + i)));
        good = add(&text, tokenizer_of(self), ids, part);
    }
    Py_DECREF(row);
    PyErr_Clear(); /* of ints that have more bits */
    const char *const bytes = (const char *)(text.bytes ? text.bytes : text.few);
    PyObject *const found = !good    ? none()
                            : errors ? PyUnicode_DecodeUTF8(bytes, (Py_ssize_t)text.size, errors)
                                     : PyBytes_FromStringAndSize(bytes, (Py_ssize_t)text.size);
    PyMem_Free(text.bytes);
    return found;
}

/* decode(ids, errors) -> str: the text of a list of ids. */
static PyObject *decode(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    Py_ssize_t size = 0;
    const char *const errors = count == 2 && PyUnicode_Check(args[1]) ? PyUnicode_AsUTF8AndSize(args[1], &size) : NULL;
    if (!errors || strlen(errors) != (size_t)size) return none();
    return decode_list(self, args[0], errors);
}

/* decode_bytes(ids) -> bytes: of a list of ids. */
static PyObject *decode_bytes(PyObject *self, PyObject *ids) { return decode_list(self, ids, NULL); }

/* encode_piece(bytes or str) -> list of int: the ids of a piece, which nothing cuts. */
static PyObject *encode_piece(PyObject *self, PyObject *piece) {
    const char *text = NULL;
    Py_ssize_t size = 0;
    if (PyBytes_CheckExact(piece)) {
        text = PyBytes_AsString(piece);
        size = PyBytes_Size(piece);
    } else if (PyUnicode_CheckExact(piece)) {
        text = PyUnicode_AsUTF8AndSize(piece, &size); /* NULL: lone surrogates have no UTF-8 */
    }
    if (!text || size < 1 || size > FEW) return none();
    int32_t ids[FEW];
    const int64_t count = fe_encode_piece_alone(tokenizer_of(self), (const uint8_t *)text, size, ids, FEW);
    if (count < 0) return none();
    PyObject *const found = PyList_New((Py_ssize_t)count);
    for (int64_t i = 0; found && i < count; i++) {
        PyObject *const id = PyLong_FromLong(ids[i]);
        if (!id || PyList_SetItem(found, (Py_ssize_t)i, id) < 0) {
            Py_DECREF(found);
            return NULL;
        }
    }
    return found;
}

EXPORTED PyObject *fe_small(PyObject *self);

/* The functions above, bound to the tokenizer whose address is the first element of a tuple. */
PyObject *fe_small(PyObject *self) {
    static const PyMethodDef all[] = {{"decode", (PyCFunction)(void (*)(void))decode, METH_FASTCALL, NULL},
                                      {"decode_bytes", decode_bytes, METH_O, NULL},
                                      {"encode_piece", encode_piece, METH_O, NULL}};
    enum { ALL = sizeof all / sizeof *all };
    PyObject *const found = PyTuple_New(ALL);
    for (Py_ssize_t i = 0; found && i < ALL; i++) {
        /* Python does not write to it. */
        PyObject *const function = PyCFunction_NewEx((PyMethodDef *)&all[i], self, NULL);
        if (!function || PyTuple_SetItem(found, i, function) < 0) {
            Py_DECREF(found);
            return NULL;
        }
    }
    return found;
}
