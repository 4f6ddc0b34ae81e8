"""The compiled core: from a problem and arrays to C, and the one parallel loop.

Everything here is between Python and csrc/fastconv.h: no user argument is parsed, no data is touched, and nothing is
decided but the number of threads. The loop itself is in _pool.h.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_CheckExact
from cpython.unicode cimport PyUnicode_CheckExact
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport free

cimport numpy as cnp

from time import perf_counter

cnp.import_array()

cdef extern from "_results.h":
    object fc_new_result(int ndim, const cnp.npy_intp *dims, cnp.dtype dtype)  # takes a reference to dtype

cdef extern from *:
    """
    #include "_memory.h"
    #include "_pool.h"
    #ifdef _OPENMP
    #include <omp.h>
    #define FC_OPENMP _OPENMP
    #else
    #define FC_OPENMP 0
    static inline int omp_get_max_threads(void) { return 1; }
    static inline int omp_get_num_procs(void) { return 1; }
    static inline int omp_in_parallel(void) { return 0; }
    #endif

    /* A forked child has none of the parent's threads, and as a rule siblings that share the machine with it: children
     * are serial. Forks outside Python's os.fork count too. */
    static int fc_forked = 0;
    #if defined(__unix__) || defined(__APPLE__)
    static void fc_note_fork(void) { fc_forked = 1; fc_forget_pool(); }
    static int fc_watch_forks(void) { return pthread_atfork(NULL, NULL, fc_note_fork); }
    #else
    static int fc_watch_forks(void) { return 0; }
    #endif

    #if defined(__clang__)
    #define FC_COMPILER "clang " __clang_version__
    #elif defined(__GNUC__)
    #define FC_COMPILER "gcc " __VERSION__
    #else
    #define FC_COMPILER "unknown"
    #endif
    """
    const int FC_OPENMP
    const char *FC_COMPILER
    int fc_forked
    int fc_watch_forks()
    int omp_get_max_threads() noexcept nogil
    int omp_get_num_procs() noexcept nogil
    int omp_in_parallel() noexcept nogil
    ctypedef void (*fc_part_fn)(const void *work, int64_t part, int thread) noexcept nogil
    void *fc_allocate(size_t bytes)
    ctypedef struct fc_range:
        pass
    void fc_share(fc_part_fn run, const void *work, int64_t begin, int64_t end, int count,
                  fc_range *ranges) noexcept nogil

cdef extern from "fastconv.h" nogil:
    ctypedef enum fc_dtype:
        FC_F32
        FC_F64
        FC_I64

    ctypedef enum fc_padding_mode:
        FC_CONSTANT
        FC_REFLECT
        FC_SYMMETRIC
        FC_EDGE
        FC_WRAP

    ctypedef struct fc_problem:
        int64_t n, groups, ic, ih, iw, oc, kh, kw, oh, ow, sh, sw, dh, dw, pt, pb, pl, pr
        fc_padding_mode padding_mode
        fc_dtype dtype
        int bias
        int channels_last
        int prepared
        int alone
        int from_bytes

    ctypedef struct fc_isa:
        const char *name
        int (*runs_here)() noexcept

    ctypedef struct fc_tile:
        int rows
        int lanes
        int columns

    ctypedef struct fc_peak:
        int sums
        void (*run)(int64_t steps, const void *factors, void *sums) noexcept nogil

    ctypedef struct fc_array:
        char *data
        int64_t stride[4]

    ctypedef union fc_fill:
        float f32
        double f64
        int64_t i64

    ctypedef struct fc_operands:
        fc_array x
        fc_array weight
        fc_array y
        const char *bias
        int64_t bias_stride
        char *packed
        fc_fill fill

    ctypedef struct fc_plan

    ctypedef struct fc_levels:
        int64_t pixels, step
        int levels
        int *radix
        double *there
        double *back
        double three

    ctypedef struct fc_points:
        int outputs, taps, stride
        int *finite
        double (*points)[5]

    ctypedef struct fc_error:
        double constant, flushed
        int64_t blocks
        fc_levels *levels
        fc_points *points

    ctypedef struct fc_algorithm:
        const char *name
        const char *family

    ctypedef struct fc_plan:
        fc_problem problem
        const fc_algorithm *algorithm
        int isa
        const fc_tile *tile
        int64_t n_tasks
        double task_macs
        int64_t scratch_bytes
        int64_t packed_bytes
        int64_t packing
        int64_t n_packs
        int packs_apart

    const fc_isa *fc_isas
    int fc_isa_count()
    const fc_tile *fc_tile_of(int isa, fc_dtype dtype)
    const fc_peak *fc_peak_of(int isa, fc_dtype dtype)
    const fc_algorithm *const *fc_algorithms
    double fc_cost_of(const fc_algorithm *algorithm, const fc_problem *problem, int isa)
    const char *fc_why_not(const fc_algorithm *algorithm, const fc_problem *problem)
    fc_error fc_error_of(const fc_plan *plan)
    const char *fc_plan_make(fc_plan *plan, const fc_problem *problem, int isa, const char *wanted)
    fc_plan fc_plan_alone(const fc_plan *plan)
    void fc_run_task(const fc_plan *plan, const fc_operands *operands, int64_t task, void *scratch) noexcept
    void fc_run_pack(const fc_plan *plan, const fc_operands *operands, int64_t part) noexcept

fc_watch_forks()

OPENMP = FC_OPENMP  # the version of the specification as yyyymm, 0 without OpenMP
COMPILER = FC_COMPILER.decode()
CHANNEL_BLOCK = _CHANNEL_BLOCK

cdef extern from "fastconv.h" nogil:
    const int _CHANNEL_BLOCK "FC_CHANNEL_BLOCK"
    enum:
        _PEAK_MAX_SUMS "FC_PEAK_MAX_SUMS"

# Sharing costs 1 us where the workers are awake, and 30 us until they are (Linux, 2 processors); a core does some 50
# MACs a ns at peak: below about 10 us of work threads do not pay.
cdef double PARALLEL_MACS = 500000

# Giving the GIL away and taking it back costs 0.1 us, which is more than others could do meanwhile: below about 5 us of
# work a call keeps it.
cdef double GIL_MACS = 20000

# A call's weights that are few, in few parts, are packed by each of two threads for itself: lines that the other core
# has read take some 15 cycles each to write anew, and what it has written as long to read. Of more than 16 parts
# (128-512, 96-384) sharing them took 10 % less; more threads than two were not measured.
cdef int OWN_THREADS = 2
cdef int64_t OWN_BYTES = 640 << 10
cdef int64_t OWN_PARTS = 16

# Work of one thread between two looks for signals, for each lane of a vector: 30 ms at peak, and as a rule under
# 0.2 s.
cdef double SIGNAL_MACS = 1e8

# More threads than this are never started, or as many as there are processors, whatever was asked for: a thread's stack
# and scratch memory cost more than a 65th of a processor gives.
cdef int MOST_THREADS = 64

cdef int configured_threads = 0  # FASTCONV_NUM_THREADS, 0 where it is not set
cdef int quota = 0  # processors that the control group grants, 0 where it sets no limit


def configure_threads(int configured, int cgroup_quota):
    """Set what the environment and the control group say of threads; 0 where they say nothing."""
    global configured_threads, quota
    configured_threads = configured
    quota = cgroup_quota


cdef tuple levels_of(const fc_levels *axis):
    radices = [axis.radix[i] for i in range(axis.levels)]
    there = [axis.there[i] for i in range(axis.levels + 1)]
    back = [axis.back[i] for i in range(axis.levels + 1)]
    return axis.pixels, axis.step, radices, there, back, axis.three


cdef tuple points_of(const fc_points *axis):
    points = [[axis.points[i][k] for k in range(axis.finite[i])] for i in range(axis.stride)]
    return axis.outputs, axis.taps, points


cdef int thread_limit(int asked, const char **why) noexcept:
    cdef int limit
    if not FC_OPENMP:
        why[0] = b"built without OpenMP"
        return 1
    if fc_forked:
        why[0] = b"a forked child runs serially"
        return 1
    if omp_in_parallel():
        why[0] = b"inside another parallel region"
        return 1
    if asked > 0:
        why[0] = b"num_threads"
        return min(asked, max(MOST_THREADS, omp_get_num_procs()))
    if configured_threads > 0:
        why[0] = b"FASTCONV_NUM_THREADS"
        return min(configured_threads, max(MOST_THREADS, omp_get_num_procs()))
    why[0] = b"OpenMP (OMP_NUM_THREADS, threadpoolctl)"
    limit = omp_get_max_threads()
    if omp_get_num_procs() <= limit:
        why[0] = b"processors this process may use"
        limit = omp_get_num_procs()
    if 0 < quota < limit:
        why[0] = b"control group quota"
        limit = quota
    return limit


def threads(int asked=0):
    """Return the most threads that a call from this thread would use now, and where that number comes from."""
    cdef const char *why = NULL
    cdef int limit = thread_limit(asked, &why)
    return limit, (<bytes>why).decode()


def isas():
    """Return the instruction sets of this architecture, best first: (name, whether it runs here)."""
    return [((<bytes>fc_isas[i].name).decode(), fc_isas[i].runs_here() != 0) for i in range(fc_isa_count())]


def algorithms():
    """Return the algorithms in the order of their table: the family that names the numerical promise of each."""
    cdef int i = 0
    names = {}
    while fc_algorithms[i] is not NULL:
        names[(<bytes>fc_algorithms[i].name).decode()] = (<bytes>fc_algorithms[i].family).decode()
        i += 1
    return names


cdef int isa_index(str name) except -1:
    for index, (known, _) in enumerate(isas()):
        if name == known:
            return index
    raise ValueError(f"unknown instruction set {name!r}")


def measure_peak(str isa, str kind, double seconds=0.05):
    """Measure how many floating-point operations (two a multiply-add) one thread can do in a second, at best.

    Parameters
    ----------
    isa : str
        The instruction set's name; it must run here.
    kind : str
        The arithmetic: 'f32' or 'f64'.
    seconds : float
        How long to measure, about.

    Returns
    -------
    float
        Operations a second, of the best of about ten equal pieces of that time.
    """
    cdef int index = isa_index(isa)
    if not fc_isas[index].runs_here():
        raise ValueError(f"instruction set {isa!r} does not run on this processor")
    if kind not in ("f32", "f64"):
        raise ValueError(f"kind must be 'f32' or 'f64', got {kind!r}")
    cdef const fc_peak *peak = fc_peak_of(index, FC_F32 if kind == "f32" else FC_F64)
    cdef double[_PEAK_MAX_SUMS] sums  # room for either type
    cdef double[2] factors
    cdef int64_t steps = 64
    cdef double best = 0, total = 0, took
    cdef int i
    if kind == "f32":
        for i in range(2):
            (<float *>factors)[i] = 0.5
        for i in range(peak.sums):
            (<float *>sums)[i] = 1
    else:
        for i in range(2):
            factors[i] = 0.5
        for i in range(peak.sums):
            sums[i] = 1
    while total < seconds:
        begin = perf_counter()
        with nogil:
            peak.run(steps, factors, sums)
        took = perf_counter() - begin
        if took < seconds / 10:
            steps *= 2
        else:
            best = max(best, 2.0 * peak.sums * steps / took)
            total += took
    return best


# Memory that a call needs while it runs. The last is kept for the next call, up to a limit: a page that the system has
# to grant anew costs 0.25 us or more, as much as packing its 4 KiB of weights four times.
cdef struct slab:
    void *data
    int64_t bytes

cdef int64_t SPARE_BYTES = 32 << 20
cdef slab spare = slab(NULL, 0)


cdef bint take_slab(slab *memory, int64_t need) noexcept:
    """The spare memory if it is enough, or new; needs the GIL."""
    global spare
    memory[0] = spare
    spare.data = NULL
    spare.bytes = 0
    if memory.bytes >= need:
        return True
    free(memory.data)
    memory.data = fc_allocate(<size_t>need)
    memory.bytes = need
    return memory.data is not NULL


cdef void give_slab(slab memory) noexcept:
    """Keep it if it is the largest; needs the GIL."""
    global spare
    if spare.bytes < memory.bytes <= SPARE_BYTES:
        memory, spare = spare, memory
    free(memory.data)


cdef class Packed:
    """Weights as an algorithm wants them, in memory of its own that starts a cache line."""

    cdef void *memory
    cdef char *data
    cdef int64_t bytes
    cdef const fc_algorithm *algorithm
    cdef int64_t packing
    cdef int isa

    def __cinit__(self, int64_t bytes):
        self.memory = fc_allocate(<size_t>bytes + 64)
        if self.memory is NULL:
            raise MemoryError(f"no memory for {bytes} bytes of packed weights.")
        self.data = <char *>((<uintptr_t>self.memory + 63) & ~<uintptr_t>63)
        self.bytes = bytes

    def __dealloc__(self):
        free(self.memory)


cdef class Plan:
    """One decision of the planner: which algorithm computes a problem with which instruction set, and in which tasks.

    Parameters
    ----------
    sizes : tuple of int
        The 18 sizes of a problem, in the order of `Problem`.
    padding_mode : int
        Index into `PADDING_MODES`.
    kind : str
        The arithmetic: 'f32', 'f64' or 'i64'.
    bias : bool
        Whether a bias is added.
    flip : bool
        Whether the kernel is flipped in both spatial axes.
    x_axes, weight_axes : tuple of int
        For each canonical axis (n, c, h, w; o, i, h, w) the array's axis, or -1 if the array has none.
    isa : str
        The instruction set's name.
    algorithm : str
        The algorithm's name, or 'auto'.
    prepared : bool
        Whether the weights will be packed once for many runs, so that packing them costs nothing.
    from_bytes : bool
        Whether the image holds unsigned bytes; `reads_bytes` says whether the plan takes them as they are.
    """

    cdef fc_plan plan, alone  # for several threads, and for one
    cdef double macs
    cdef bint flip
    cdef int x_axes[4]
    cdef int weight_axes[4]

    def __cinit__(self, tuple sizes, int padding_mode, str kind, bint bias, bint flip, tuple x_axes, tuple weight_axes,
                  str isa, str algorithm, bint prepared=False, bint from_bytes=False):
        cdef fc_problem problem
        (problem.n, problem.groups, problem.ic, problem.ih, problem.iw, problem.oc, problem.kh, problem.kw, problem.oh,
         problem.ow, problem.sh, problem.sw, problem.dh, problem.dw, problem.pt, problem.pb, problem.pl,
         problem.pr) = sizes
        problem.padding_mode = <fc_padding_mode>padding_mode
        problem.dtype = {"f32": FC_F32, "f64": FC_F64, "i64": FC_I64}[kind]
        problem.bias = bias
        problem.prepared = prepared
        problem.alone = False
        problem.from_bytes = from_bytes
        problem.channels_last = x_axes[1] == max(x_axes) and (problem.ic > 1 or problem.oc > 1)
        self.macs = (<double>problem.n * problem.oc * problem.oh * problem.ow
                     * (problem.ic // problem.groups) * problem.kh * problem.kw)
        self.flip = flip
        for i in range(4):
            self.x_axes[i] = x_axes[i]
            self.weight_axes[i] = weight_axes[i]
        wanted = algorithm.encode()
        cdef const char *name = NULL
        if algorithm != "auto":
            name = wanted
        cdef const char *reason = fc_plan_make(&self.plan, &problem, isa_index(isa), name)
        if reason is not NULL:
            raise ValueError((<bytes>reason).decode())
        self.alone = fc_plan_alone(&self.plan)

    cdef const fc_plan *cut(self, int threads) noexcept:
        return &self.alone if threads == 1 else &self.plan

    @property
    def family(self):
        """The algorithm's family, which names its numerical promise."""
        return (<bytes>self.plan.algorithm.family).decode()

    @property
    def algorithm(self):
        """Name of the algorithm."""
        return (<bytes>self.plan.algorithm.name).decode()

    @property
    def isa(self):
        """Name of the instruction set."""
        return (<bytes>fc_isas[self.plan.isa].name).decode()

    @property
    def reads_bytes(self):
        """Whether the image of a run is to be unsigned bytes, and not the arithmetic's elements."""
        return bool(self.plan.problem.from_bytes)

    def n_tasks(self, int threads):
        """Return the number of independent pieces of work that so many threads share."""
        return self.cut(threads).n_tasks

    def scratch_bytes(self, int threads):
        """Return the scratch memory of each of so many threads, in bytes."""
        return self.cut(threads).scratch_bytes

    def packed_bytes(self, int threads):
        """Return the memory of the weights as the algorithm wants them, if packed before all tasks, in bytes."""
        cdef const fc_plan *plan = self.cut(threads)
        if not plan.problem.prepared and packs_own(plan.packed_bytes, plan.n_packs, plan.packs_apart, threads):
            return plan.packed_bytes * threads
        return plan.packed_bytes if plan.packs_apart or plan.problem.prepared else 0

    @property
    def packing(self):
        """What tells packed weights apart: plans of the same weights that agree in it can use each other's."""
        return self.algorithm, self.isa, self.plan.problem.dtype, self.plan.packing

    def error(self):
        """Return the constant of the error bound, how far it reaches beyond a window, and what is known of its tiles.

        That is None, or "levels", blocks of input channels and both axes' `fc_levels`, or "points" and `fc_points`; or
        "flushed" and how many products make 0 of what is not normal.
        """
        cdef fc_error error = fc_error_of(&self.plan)
        tiles = None
        if error.blocks:
            tiles = "levels", error.blocks, levels_of(&error.levels[0]), levels_of(&error.levels[1])
        elif error.points[0].outputs:
            tiles = "points", points_of(&error.points[0]), points_of(&error.points[1])
        elif error.flushed:
            tiles = "flushed", error.flushed
        return error.constant, (0, 0), tiles

    def verdicts(self):
        """Return for each algorithm its name, why it can't compute the problem (or None), and its estimated cost."""
        cdef const char *reason
        cdef int i = 0
        rows = []
        while fc_algorithms[i] is not NULL:
            reason = fc_why_not(fc_algorithms[i], &self.plan.problem)
            name = (<bytes>fc_algorithms[i].name).decode()
            if reason is NULL:
                rows.append((name, None, fc_cost_of(fc_algorithms[i], &self.plan.problem, self.plan.isa)))
            else:
                rows.append((name, (<bytes>reason).decode(), None))
            i += 1
        return rows

    def threads(self, int asked=0):
        """Return how many threads a run from this thread would use now, and why."""
        cdef const char *why = NULL
        cdef int count = choose_threads(self.macs, self.plan.n_tasks, asked, &why)
        return count, (<bytes>why).decode()

    def pack(self, cnp.ndarray weight, int num_threads=0):
        """Return the weights as the algorithm wants them, for `run`; None where it takes them as they are.

        So does one that packs in rounds, which no plan of a prepared problem does: it has room for a share of them.
        """
        if not self.plan.packed_bytes or self.plan.packs_apart > 1:
            return None
        cdef Packed packed = Packed(self.plan.packed_bytes)
        packed.algorithm = self.plan.algorithm
        packed.packing = self.plan.packing
        packed.isa = self.plan.isa
        cdef job one
        one.plan = &self.plan
        one.packs = True
        self.read_weight(weight, &one.operands)
        one.operands.packed = packed.data
        cdef const char *why = NULL
        cdef int count = choose_threads(self.macs, self.plan.n_tasks, num_threads, &why)
        cdef fc_range *ranges = <fc_range *>fc_allocate(count * sizeof(fc_range))
        if ranges is NULL:
            raise MemoryError(f"no memory for {count} threads.")
        cdef work packing = work(&one, 1, self.plan.n_packs, ranges, NULL, 0, NULL, 0)
        with nogil:
            run_turns(&packing, 0, self.plan.n_packs, count)
        free(ranges)
        return packed

    def run(self, cnp.ndarray x, cnp.ndarray weight, cnp.ndarray bias, cnp.ndarray y, fill, int num_threads=0,
            Packed packed=None):
        """Compute `y`. Operands have the problem's arithmetic as dtype and are aligned; any strides.

        Shapes, strides and pointers are read once, here, with the GIL held, and compared with the plan, so that no
        array that changes under the call can lead the kernels outside its memory.
        """
        self.compute(x, weight, bias, y, fill, num_threads, packed)

    cdef int read_weight(self, cnp.ndarray weight, fc_operands *operands) except -1:
        cdef fc_problem *p = &self.plan.problem
        cdef int64_t *shape = [p.oc, p.ic // p.groups, p.kh, p.kw]
        self.read("weight", weight, self.weight_axes, shape, &operands.weight)
        if self.flip:
            operands.weight.data += (p.kh - 1) * operands.weight.stride[2] + (p.kw - 1) * operands.weight.stride[3]
            operands.weight.stride[2] = -operands.weight.stride[2]
            operands.weight.stride[3] = -operands.weight.stride[3]
        return 0

    cdef int compute(self, cnp.ndarray x, cnp.ndarray weight, cnp.ndarray bias, cnp.ndarray y, fill,
                     int num_threads, Packed packed) except -1:
        cdef job one
        one.plan, one.alone = &self.plan, &self.alone
        self.read_operands(x, weight, bias, y, fill, packed, &one.operands)
        return run_jobs(&one, 1, self.macs, num_threads)

    cdef int read_operands(self, cnp.ndarray x, cnp.ndarray weight, cnp.ndarray bias, cnp.ndarray y, fill,
                           Packed packed, fc_operands *operands) except -1:
        cdef fc_problem *p = &self.plan.problem
        cdef int64_t *x_shape = [p.n, p.ic, p.ih, p.iw]
        cdef int64_t *y_shape = [p.n, p.oc, p.oh, p.ow]
        self.read("x", x, self.x_axes, x_shape, &operands.x, p.from_bytes)
        self.read_weight(weight, operands)
        self.read("out", y, self.x_axes, y_shape, &operands.y)
        if not cnp.PyArray_ISWRITEABLE(y):
            raise ValueError("out is read-only; pass a writable array.")
        operands.bias = NULL
        operands.bias_stride = 0
        cdef fc_array bias_view
        cdef int *bias_axes = [0, -1, -1, -1]
        cdef int64_t *bias_shape = [p.oc, 1, 1, 1]
        if p.bias:
            self.read("bias", bias, bias_axes, bias_shape, &bias_view)
            operands.bias = bias_view.data
            operands.bias_stride = bias_view.stride[0]
        operands.fill.i64 = 0  # of which a float32 is half: zeros are told by all of it
        if p.dtype == FC_F32:
            operands.fill.f32 = fill
        elif p.dtype == FC_F64:
            operands.fill.f64 = fill
        else:
            operands.fill.i64 = fill if fill < 2**63 else fill - 2**64

        if packed is not None and (packed.algorithm is not self.plan.algorithm or packed.isa != self.plan.isa
                                   or packed.packing != self.plan.packing or packed.bytes != self.plan.packed_bytes):
            raise ValueError("the packed weights are not this plan's.")
        operands.packed = packed.data if packed is not None else NULL
        return 0

    cdef int read(self, str name, cnp.ndarray array, int *axes, int64_t *shape, fc_array *view,
                  bint from_bytes=False) except -1:
        cdef int i, ndim = 0
        cdef cnp.dtype dtype = array.descr
        cdef int itemsize = 1 if from_bytes else 4 if self.plan.problem.dtype == FC_F32 else 8
        cdef char kind = dtype.kind
        cdef bint same_kind = kind in (b"i", b"u") if self.plan.problem.dtype == FC_I64 else kind == b"f"
        if from_bytes:
            same_kind = kind == b"u"
        if not same_kind or dtype.itemsize != itemsize or not cnp.PyArray_ISBEHAVED_RO(array):
            raise TypeError(f"{name} is not an aligned array of the plan's dtype.")
        view.data = <char *>cnp.PyArray_DATA(array)
        for i in range(4):
            view.stride[i] = 0
            if axes[i] < 0:
                if shape[i] != 1:
                    raise ValueError(f"{name} has another shape than the plan was made for.")
                continue
            ndim += 1
            if axes[i] >= cnp.PyArray_NDIM(array) or cnp.PyArray_DIM(array, axes[i]) != shape[i]:
                raise ValueError(f"{name} has another shape than the plan was made for.")
            # An axis of length 1 may have any stride at all, and takes no step.
            if shape[i] > 1:
                view.stride[i] = cnp.PyArray_STRIDE(array, axes[i])
        if ndim != cnp.PyArray_NDIM(array):
            raise ValueError(f"{name} has another shape than the plan was made for.")
        return 0


# One convolution of those that a call computes together.
cdef struct job:
    const fc_plan *plan  # for several threads, and then for as many as there are
    const fc_plan *alone  # for one
    fc_operands operands
    bint packs  # the weights, before its tasks


# What the threads of a call share.
cdef struct work:
    const job *jobs
    int n_jobs
    int64_t turns  # in which each job does an equal share of its parts
    fc_range *ranges  # of turns, for each thread
    char *scratch  # NULL for packing
    int64_t scratch_bytes  # of one thread
    char *own  # packed weights of each thread, after a line that says whether it has packed them; or NULL
    int64_t own_bytes


def run_together(list plans, list operands, int num_threads=0):
    """Compute several convolutions at once, and return whether that was done: what packs in rounds goes alone.

    Parameters
    ----------
    plans : list of Plan
        Their plans.
    operands : list of tuple
        The x, weight, y and fill of each, as for `Plan.run`; none has a bias. No y shares an element with another, or
        with any x or weight.
    num_threads : int
        As for `Plan.run`.
    """
    cdef Plan plan
    cdef double macs = 0
    cdef int i
    for plan in plans:
        if plan.plan.packs_apart > 1 or plan.plan.problem.bias:
            return False
        macs += plan.macs
    cdef job *jobs = <job *>fc_allocate(len(plans) * sizeof(job))
    if jobs is NULL:
        raise MemoryError(f"no memory for {len(plans)} convolutions at once.")
    try:
        for i in range(<int>len(plans)):
            plan = plans[i]
            jobs[i].plan, jobs[i].alone = &plan.plan, &plan.alone
            x, weight, y, fill = operands[i]
            plan.read_operands(x, weight, None, y, fill, None, &jobs[i].operands)
        run_jobs(jobs, <int>len(plans), macs, num_threads)
    finally:
        free(jobs)
    return True


cdef int choose_threads(double macs, int64_t parts, int asked, const char **why) noexcept:
    if asked <= 0 and macs < PARALLEL_MACS:
        why[0] = b"too little work for more"
        return 1
    cdef int limit = thread_limit(asked, why)
    if parts < limit:
        why[0] = b"as many as there are tasks"
        return <int>parts
    return limit


cdef bint packs_own(int64_t packed_bytes, int64_t parts, int rounds, int count) noexcept:
    return rounds == 1 and 1 < count <= OWN_THREADS and packed_bytes <= OWN_BYTES and parts <= OWN_PARTS


cdef int run_jobs(job *jobs, int n_jobs, double macs, int asked) except -1:
    """Compute several convolutions, those at the same place of their results one after the other.

    Results that lie between one another, as those of a transposed convolution's phases, then share lines of memory, and
    weights likewise, while a core's cache has them. Weights packed in rounds are for one job alone.
    """
    cdef work packing = work(jobs, n_jobs, 0, NULL, NULL, 0, NULL, 0), tasks = packing
    cdef int64_t packed_bytes = 0
    cdef double turn_macs = 0
    cdef int64_t turns = 0
    cdef int i, rounds = 1
    cdef const char *why = NULL
    for i in range(n_jobs):
        turns = max(turns, jobs[i].plan.n_tasks)
    cdef int count = choose_threads(macs, turns, asked, &why)
    for i in range(n_jobs):
        plan = jobs[i].plan = jobs[i].alone if count == 1 else jobs[i].plan
        tasks.turns = max(tasks.turns, plan.n_tasks)
        tasks.scratch_bytes = max(tasks.scratch_bytes, plan.scratch_bytes)
        turn_macs += plan.task_macs
        jobs[i].packs = plan.packs_apart and jobs[i].operands.packed is NULL
        if jobs[i].packs:
            packed_bytes += (plan.packed_bytes + 63) & ~63
            packing.turns = max(packing.turns, plan.n_packs)
            rounds = plan.packs_apart
    cdef slab memory
    if packed_bytes and packs_own(packed_bytes, packing.turns, rounds, count):
        packing.turns = 0
        tasks.own_bytes = packed_bytes + 64
        packed_bytes = count * tasks.own_bytes
    cdef int64_t ranges_bytes = count * <int64_t>sizeof(fc_range)
    if not take_slab(&memory, ranges_bytes + count * tasks.scratch_bytes + packed_bytes + 128):
        raise MemoryError(f"no memory for {count} x {tasks.scratch_bytes} bytes of scratch and {packed_bytes} of "
                          "packed weights.")
    tasks.ranges = packing.ranges = <fc_range *>((<uintptr_t>memory.data + 63) & ~<uintptr_t>63)
    tasks.scratch = <char *>((<uintptr_t>tasks.ranges + ranges_bytes + 63) & ~<uintptr_t>63)
    cdef char *packed = tasks.scratch + count * tasks.scratch_bytes
    if tasks.own_bytes:
        tasks.own = packed
        for i in range(count):
            (<int64_t *>(packed + i * tasks.own_bytes))[0] = 0
        packed += 64
    for i in range(n_jobs):
        if jobs[i].packs:
            jobs[i].operands.packed = packed
            packed += (jobs[i].plan.packed_bytes + 63) & ~63
    cdef double slice_macs = SIGNAL_MACS * jobs[0].plan.tile.lanes
    cdef int64_t step = count * max(<int64_t>min(slice_macs / turn_macs, 1e9), <int64_t>1)
    cdef int64_t begin = 0, end, last, turn, packs = packing.turns // rounds
    try:
        if count == 1 and macs < GIL_MACS and rounds == 1:
            run_turns(&packing, 0, packs, 1)
            run_turns(&tasks, 0, tasks.turns, 1)
            return 0
        for turn in range(rounds):
            with nogil:
                run_turns(&packing, turn * packs, (turn + 1) * packs, count)
            last = (turn + 1) * (tasks.turns // rounds)
            while begin < last:
                end = min(begin + step, last)
                with nogil:
                    run_turns(&tasks, begin, end, count)
                PyErr_CheckSignals()
                begin = end
    finally:
        give_slab(memory)
    return 0


cdef void run_turns(const work *shared, int64_t begin, int64_t end, int count) noexcept nogil:
    if begin < end:
        fc_share(run_turn, shared, begin, end, count, shared.ranges)


cdef void run_turn(const void *shared, int64_t turn, int thread) noexcept nogil:
    """Of each job the tasks that are a turn's share; parts of packing the weights where there is no scratch memory."""
    cdef const work *w = <const work *>shared
    cdef const job *one
    cdef const fc_operands *operands
    cdef fc_operands own
    cdef int64_t parts, part, end
    cdef int i
    if w.own is not NULL:
        pack_own(w, thread)
    for i in range(w.n_jobs):
        one = &w.jobs[i]
        operands = &one.operands
        if w.own is not NULL and one.packs:
            own = one.operands
            own.packed += thread * w.own_bytes
            operands = &own
        parts = one.plan.n_tasks if w.scratch is not NULL else one.plan.n_packs if one.packs else 0
        part = parts // w.turns * turn + min(parts % w.turns, turn)  # products of large numbers would not fit
        end = part + parts // w.turns + (turn < parts % w.turns)
        while part < end:
            if w.scratch is NULL:
                fc_run_pack(one.plan, operands, part)
            else:
                fc_run_task(one.plan, operands, part, w.scratch + thread * w.scratch_bytes)
            part += 1


cdef void pack_own(const work *w, int thread) noexcept nogil:
    """The weights of all jobs for one thread, before its first turn."""
    cdef int64_t *done = <int64_t *>(w.own + thread * w.own_bytes)
    cdef fc_operands operands
    cdef int64_t part
    cdef int i
    if done[0]:
        return
    for i in range(w.n_jobs):
        operands = w.jobs[i].operands
        operands.packed += thread * w.own_bytes
        for part in range(w.jobs[i].plan.n_packs if w.jobs[i].packs else 0):
            fc_run_pack(w.jobs[i].plan, &operands, part)
    done[0] = 1


cdef class CallCache:
    """From the arguments of a call as they were given straight to its plan, where the same were given before.

    Checking the arguments of a tiny call costs several times its arithmetic. A key is those arguments as plain
    integers, bit for bit: shapes, element types, exact Python ints and floats, and the addresses of strings, which an
    entry keeps alive. Anything else (lists, subclasses, True where an integer is asked for) has no key, so it is
    checked in full each time. Only calls that went well are added, so a key that is found needs no check.
    """

    cdef dict entries
    cdef readonly int most

    def __init__(self, int most):
        self.entries = {}
        self.most = most

    def __len__(self):
        return len(self.entries)

    def add(self, tuple arguments, Plan plan, fill, tuple shape):
        """Remember a call: its arguments in the order of `run` up to algorithm, its plan, its result's shape."""
        (x, weight, bias, stride, padding, dilation, groups, padding_mode, fill_value, flip, data_format, weight_format,
         dtype, algorithm) = arguments
        key = call_key(x, weight, bias, stride, padding, dilation, groups, padding_mode, fill_value, flip, data_format,
                       weight_format, dtype, algorithm)
        if key is None:
            return
        while len(self.entries) >= self.most:
            self.entries.pop(next(iter(self.entries)), None)
        self.entries[key] = (plan, fill, shape, arguments[3:])

    def run(self, x, weight, bias, stride, padding, dilation, groups, padding_mode, fill_value, flip, data_format,
            weight_format, dtype, algorithm, num_threads, out):
        """Return the result of a call that was made before, or None if it was not or `out` is to be checked."""
        key = call_key(x, weight, bias, stride, padding, dilation, groups, padding_mode, fill_value, flip, data_format,
                       weight_format, dtype, algorithm)
        if key is None:
            return None
        entry = self.entries.get(key)
        if entry is None:
            return None
        cdef int count = plain_count(num_threads)
        if count < 0:
            return None
        cdef cnp.ndarray y = result_array(out, x, weight, bias, <tuple>(<tuple>entry)[2])
        if y is None:
            return None
        (<Plan>(<tuple>entry)[0]).compute(x, weight, bias, y, (<tuple>entry)[1], count, None)
        return y


cdef class PreparedCalls:
    """From an image straight to its result, for one set of weights, where images of that shape came before.

    As `CallCache`, with less to compare: an entry's key is the image's element type and shape.
    """

    cdef dict entries
    cdef readonly int most

    def __init__(self, int most):
        self.entries = {}
        self.most = most

    def __len__(self):
        return len(self.entries)

    def add(self, x, Plan plan, cnp.ndarray weight, cnp.ndarray bias, fill, tuple shape, Packed packed):
        """Remember what computes images like `x`, which need no conversion."""
        key = image_key(x)
        if key is None:
            return
        while len(self.entries) >= self.most:
            self.entries.pop(next(iter(self.entries)), None)
        self.entries[key] = (plan, fill, shape, weight, bias, packed)

    def run(self, x, num_threads, out):
        """Return the result, or None where no such image came before or `out` is to be checked."""
        key = image_key(x)
        if key is None:
            return None
        cdef tuple entry = self.entries.get(key)
        if entry is None:
            return None
        cdef int count = plain_count(num_threads)
        if count < 0:
            return None
        cdef cnp.ndarray y = result_array(out, x, entry[3], entry[4], <tuple>entry[2])
        if y is None:
            return None
        (<Plan>entry[0]).compute(x, <cnp.ndarray>entry[3], <cnp.ndarray>entry[4], y, entry[1], count, <Packed>entry[5])
        return y


cdef int plain_count(num_threads) noexcept:
    """A number of threads, 0 for None, -1 for what is to be checked in full."""
    if num_threads is None:
        return 0
    cdef int overflow = 0
    if not PyLong_CheckExact(num_threads):
        return -1
    cdef int64_t count = PyLong_AsLongLongAndOverflow(num_threads, &overflow)
    return <int>count if not overflow and 1 <= count < 2**31 else -1


cdef object image_key(x):
    cdef int64_t[8] words
    cdef int n = 0
    if not put_array(words, &n, x):
        return None
    return PyBytes_FromStringAndSize(<char *>words, n * sizeof(int64_t))


cdef object result_array(out, cnp.ndarray x, weight, bias, tuple shape):
    """`out`, or None if it may not be written into unchecked; a new array where there is none."""
    if out is None:
        return empty_like_weight(weight, shape)
    return out if fits(out, x, weight, bias, shape) else None


cdef bint fits(out, cnp.ndarray x, weight, bias, tuple shape) noexcept:
    """Whether `out` is an array of the result's shape and the weights' dtype, its axes one inside the other as those
    of a part of a C-contiguous array, so that no two elements share memory, and none of the operands' between them.
    """
    if type(out) is not cnp.ndarray or not cnp.PyArray_ISBEHAVED(<cnp.ndarray>out):
        return False
    cdef int i, ndim = cnp.PyArray_NDIM(<cnp.ndarray>out)
    if ndim != len(shape) or cnp.PyArray_TYPE(<cnp.ndarray>out) != cnp.PyArray_TYPE(<cnp.ndarray>weight):
        return False
    cdef cnp.npy_intp size, step, covered = cnp.PyArray_ITEMSIZE(<cnp.ndarray>out)
    for i in range(ndim - 1, -1, -1):
        size = cnp.PyArray_DIM(<cnp.ndarray>out, i)
        step = cnp.PyArray_STRIDE(<cnp.ndarray>out, i)
        if size != <cnp.npy_intp>shape[i] or size > 1 and step < covered:
            return False
        if size > 1:
            covered += step * (size - 1)
    cdef uintptr_t low = <uintptr_t>cnp.PyArray_DATA(<cnp.ndarray>out)
    return (lies_apart(x, low, low + covered) and lies_apart(<cnp.ndarray>weight, low, low + covered)
            and (bias is None or lies_apart(<cnp.ndarray>bias, low, low + covered)))


cdef bint lies_apart(cnp.ndarray array, uintptr_t low, uintptr_t high) noexcept:
    """Whether an array that is not empty has no byte from low to high."""
    cdef uintptr_t first = <uintptr_t>cnp.PyArray_DATA(array), last = first + cnp.PyArray_ITEMSIZE(array)
    cdef cnp.npy_intp reach
    cdef int i
    for i in range(cnp.PyArray_NDIM(array)):
        reach = cnp.PyArray_STRIDE(array, i) * (cnp.PyArray_DIM(array, i) - 1)
        if reach < 0:
            first += reach
        else:
            last += reach
    return last <= low or high <= first


cdef object empty_like_weight(cnp.ndarray weight, tuple shape):
    """A new array of the weights' dtype, which is the result's; None without memory: a call checked in full says so."""
    cdef cnp.npy_intp[4] dims
    cdef int i
    for i in range(len(shape)):
        dims[i] = shape[i]
    cdef cnp.dtype dtype = cnp.PyArray_DescrFromType(cnp.PyArray_TYPE(weight))
    Py_INCREF(dtype)
    try:
        return fc_new_result(<int>len(shape), dims, dtype)
    except MemoryError:
        return None


cdef object call_key(x, weight, bias, stride, padding, dilation, groups, padding_mode, fill_value, flip, data_format,
                     weight_format, dtype, algorithm):
    cdef int64_t[64] words
    cdef int n = 0
    if not (put_array(words, &n, x) and put_array(words, &n, weight)):
        return None
    if bias is None:
        words[n] = -1
        n += 1
    elif not put_array(words, &n, bias):
        return None
    if not (put_integers(words, &n, stride, 1) and put_integers(words, &n, padding, 2)
            and put_integers(words, &n, dilation, 1) and put_integers(words, &n, groups, 0)):
        return None
    if PyFloat_CheckExact(fill_value):
        words[n] = 1
        (<double *>&words[n + 1])[0] = PyFloat_AS_DOUBLE(fill_value)
        n += 2
    elif not put_integers(words, &n, fill_value, 0):
        return None
    if flip is not True and flip is not False:
        return None
    words[n] = flip is True
    n += 1
    for name in (padding_mode, data_format, weight_format, algorithm):
        if name is not None and not PyUnicode_CheckExact(name):
            return None
        words[n] = <int64_t><uintptr_t><void *>name
        n += 1
    if dtype is not None and type(dtype) is not cnp.dtype and not PyUnicode_CheckExact(dtype):
        return None
    words[n] = <int64_t><uintptr_t><void *>dtype
    n += 1
    return PyBytes_FromStringAndSize(<char *>words, n * sizeof(int64_t))


cdef bint put_array(int64_t *words, int *n, object value) noexcept:
    """An array's element type and shape; not for subclasses, swapped bytes or unaligned elements."""
    if type(value) is not cnp.ndarray or not cnp.PyArray_ISBEHAVED_RO(<cnp.ndarray>value):
        return False
    cdef int i, ndim = cnp.PyArray_NDIM(<cnp.ndarray>value)
    if ndim > 4:
        return False
    words[n[0]] = cnp.PyArray_TYPE(<cnp.ndarray>value) * 8 + ndim
    for i in range(ndim):
        words[n[0] + 1 + i] = cnp.PyArray_DIM(<cnp.ndarray>value, i)
    n[0] += 1 + ndim
    return True


cdef bint put_integers(int64_t *words, int *n, object value, int depth):
    """An exact int, a pair of what is, or a string, with a word before each that tells them apart."""
    cdef int overflow = 0
    if PyLong_CheckExact(value):
        words[n[0]] = 0
        words[n[0] + 1] = PyLong_AsLongLongAndOverflow(value, &overflow)
        n[0] += 2
        return not overflow
    if depth and PyTuple_CheckExact(value) and len(<tuple>value) == 2:
        words[n[0]] = 2
        n[0] += 1
        return (put_integers(words, n, (<tuple>value)[0], depth - 1)
                and put_integers(words, n, (<tuple>value)[1], depth - 1))
    if depth == 2 and PyUnicode_CheckExact(value):
        words[n[0]] = 3
        words[n[0] + 1] = <int64_t><uintptr_t><void *>value
        n[0] += 2
        return True
    return False
