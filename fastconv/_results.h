/* New arrays for results, whose memory begins with a line of the cache: NumPy's begins 16 bytes into one, and then each vector
 * that is stored lies in two. Aligned, 3 x 3 3-64 224 takes 0.87 of the time on Granite Rapids, Winograd's 64-64 224 0.90,
 * 1 x 1 24-144 56 0.93; and results are what the next layer reads.
 *
 * The arrays own their memory, by a handler of NumPy's (NEP 49) that is set for as long as one is made, in the context of the
 * thread that makes it. Whoever has set another gets arrays of that one (docs/design/0015-results.md). */
#ifndef FC_RESULTS_H
#define FC_RESULTS_H

#include <Python.h>
#include <numpy/arrayobject.h>
#include <stdlib.h>

#if defined(__unix__) || defined(__APPLE__)

#include <sys/mman.h>

enum {
    FC_LINE = 64,
    FC_LEAST_BYTES = 1 << 14, /* of an array that is worth it: handlers are set in 0.2 us, and this is written in 0.5 */
    FC_LARGE_BYTES = 1 << 22, /* from which on NumPy asks for large pages */
};

static void *fc_new_lines(void *unused, size_t bytes)
{
    (void)unused;
    void *memory;
    if (posix_memalign(&memory, FC_LINE, bytes))
        return NULL;
#ifdef MADV_HUGEPAGE
    const size_t page = 4096, begin = (page - (uintptr_t)memory % page) % page;
    if (bytes >= FC_LARGE_BYTES)
        madvise((char *)memory + begin, (bytes - begin) / page * page, MADV_HUGEPAGE);
#endif
    return memory;
}

static void *fc_new_zeros(void *unused, size_t count, size_t size)
{
    (void)unused;
    return calloc(count, size);
}

static void *fc_resize_lines(void *unused, void *memory, size_t bytes)
{
    (void)unused;
    return realloc(memory, bytes);
}

static void fc_free_lines(void *unused, void *memory, size_t bytes)
{
    (void)unused, (void)bytes;
    free(memory);
}

static PyDataMem_Handler fc_lines_handler = {
    "fastconv_lines", 1, {NULL, fc_new_lines, fc_new_zeros, fc_resize_lines, fc_free_lines}};

/* The handler that was set before ours, a new reference; or NULL where that is not NumPy's own, or without memory. */
static PyObject *fc_set_handler(PyObject **ours)
{
    if (!*ours && !(*ours = PyCapsule_New(&fc_lines_handler, "mem_handler", NULL)))
        return NULL;
    PyObject *const now = PyDataMem_GetHandler();
    Py_XDECREF(now);
    return now == PyDataMem_DefaultHandler ? PyDataMem_SetHandler(*ours) : NULL;
}

/* PyArray_Empty, C-contiguous: steals a reference to `dtype`. */
static PyObject *fc_new_result(int ndim, const npy_intp *dims, PyArray_Descr *dtype)
{
    static PyObject *ours;
    const npy_intp count = PyArray_OverflowMultiplyList(dims, ndim), size = PyDataType_ELSIZE(dtype);
    PyObject *const before = size && count >= FC_LEAST_BYTES / size ? fc_set_handler(&ours) : NULL;
    if (PyErr_Occurred()) {
        Py_DECREF(dtype);
        return NULL;
    }
    PyObject *const result = PyArray_Empty(ndim, dims, dtype, 0);
    if (before) {
        PyObject *error[3];
        PyErr_Fetch(&error[0], &error[1], &error[2]);
        PyObject *const last = PyDataMem_SetHandler(before);
        Py_XDECREF(last);
        Py_DECREF(before);
        PyErr_Restore(error[0], error[1], error[2]);
    }
    return result;
}

#else

static PyObject *fc_new_result(int ndim, const npy_intp *dims, PyArray_Descr *dtype)
{
    return PyArray_Empty(ndim, dims, dtype, 0);
}

#endif
#endif
