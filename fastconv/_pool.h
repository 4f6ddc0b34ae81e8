/* Threads that share the parts of one piece of work with the thread that has it.
 *
 * Workers are started when first needed and stay: they look for work for SPIN_SECONDS after their last, then sleep. The
 * caller works too, and waits for those workers alone that have begun a part: one that the system has not woken yet, or has
 * put behind another thread, is not missed. (OpenMP's implicit barrier waits for all. Where the system places a worker on
 * the caller's own processor, which happens, the caller spins until its time slice ends: 4 ms for work of 0.3.)
 *
 * Callers in several threads have jobs of their own; a worker serves any. Only POSIX threads, no OpenMP: where those are
 * missing, the caller does all. */
#ifndef FC_POOL_H
#define FC_POOL_H

#include "_ranges.h"

#include <stdint.h> /* _GNU_SOURCE, which affinity needs, is Python.h's */

typedef void (*fc_part_fn)(const void *work, int64_t part, int thread);

static inline void fc_do_all(fc_part_fn run, const void *work, int64_t begin, int64_t end)
{
    for (; begin < end; begin++)
        run(work, begin, 0);
}

#if defined(__unix__) || defined(__APPLE__)

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#define FC_SPIN_SECONDS 2e-4 /* longer than what Python does between two calls, shorter than a time slice */

typedef struct fc_job {
    fc_part_fn run;
    const void *work;
    fc_range *ranges; /* one for each thread, the first the caller's */
    int threads;
    int slots; /* how many more workers may join */
    int active;
    int processor; /* the caller's, when it had the job; -1 where that is not known */
    struct fc_job *later;
} fc_job;

typedef struct fc_sleeper {
    pthread_t thread;
    pthread_cond_t wake;
    int awake;
    struct fc_sleeper *below;
#ifdef __linux__
    int moved;
    cpu_set_t allowed; /* where it may go once it runs, if it was woken elsewhere than here */
#endif
} fc_sleeper;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t done;
    fc_job *jobs;
    fc_sleeper *asleep; /* the last to fall asleep is woken first */
    int idle;           /* workers in no job, asleep or not */
    int open;           /* slots of all jobs; read without the lock by those that look for work */
} fc_pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

static inline double fc_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Where this thread runs, or -1. */
static int fc_processor(void)
{
#ifdef __linux__
    return sched_getcpu();
#else
    return -1;
#endif
}

/* With the lock: wake a worker, elsewhere than on the caller's own processor. Left to itself Linux (6.18, two processors that
 * were both busy of late) often wakes it there and nowhere else, and the two take turns. */
static void fc_wake(fc_sleeper *sleeper)
{
#ifdef __linux__
    const int here = fc_processor();
    sleeper->moved = here >= 0 && !pthread_getaffinity_np(pthread_self(), sizeof sleeper->allowed, &sleeper->allowed) &&
                     CPU_COUNT(&sleeper->allowed) > 1;
    if (sleeper->moved) {
        cpu_set_t elsewhere = sleeper->allowed;
        CPU_CLR(here, &elsewhere);
        pthread_setaffinity_np(sleeper->thread, sizeof elsewhere, &elsewhere);
    }
#endif
    sleeper->awake = 1;
    pthread_cond_signal(&sleeper->wake);
}

/* A moment's pause; the processor to whoever else wants it, who may be the one that is waited for. */
static inline void fc_relax(void)
{
    for (int i = 0; i < 32; i++)
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#else
        __asm__ volatile("" ::: "memory");
#endif
    sched_yield();
}

static void fc_work_on(fc_job *job, int thread)
{
    int at = 0;
    for (int64_t part; (part = fc_take(job->ranges, job->threads, thread, &at)) >= 0;)
        job->run(job->work, part, thread);
}

/* Leave a processor, if there is another: a new worker, or one that was awake, may find itself on its caller's, and would
 * take turns with it for milliseconds (two threads as slow as one in a third of calls of 34 ms). */
static void fc_leave(int processor)
{
#ifdef __linux__
    cpu_set_t allowed;
    if (processor < 0 || sched_getcpu() != processor ||
        pthread_getaffinity_np(pthread_self(), sizeof allowed, &allowed) || CPU_COUNT(&allowed) < 2)
        return;
    cpu_set_t elsewhere = allowed;
    CPU_CLR(processor, &elsewhere);
    if (!pthread_setaffinity_np(pthread_self(), sizeof elsewhere, &elsewhere))
        pthread_setaffinity_np(pthread_self(), sizeof allowed, &allowed);
#else
    (void)processor;
#endif
}

/* With the lock: a job that wants another worker, or NULL. */
static fc_job *fc_find_job(void)
{
    fc_job *job = fc_pool.jobs;
    while (job && !job->slots)
        job = job->later;
    return job;
}

static void *fc_worker(void *unused)
{
    (void)unused;
    int thread = 0;
    fc_sleeper self = {.thread = pthread_self(), .wake = PTHREAD_COND_INITIALIZER};
    pthread_mutex_lock(&fc_pool.lock);
    for (;;) {
        fc_job *job = fc_find_job();
        if (!job) {
            pthread_mutex_unlock(&fc_pool.lock);
            const double until = fc_now() + FC_SPIN_SECONDS;
            while (!__atomic_load_n(&fc_pool.open, __ATOMIC_RELAXED) && fc_now() < until)
                fc_relax();
            pthread_mutex_lock(&fc_pool.lock);
            while (!(job = fc_find_job())) {
                self.below = fc_pool.asleep;
                fc_pool.asleep = &self;
                self.awake = 0;
                while (!self.awake)
                    pthread_cond_wait(&self.wake, &fc_pool.lock);
#ifdef __linux__
                if (self.moved)
                    pthread_setaffinity_np(self.thread, sizeof self.allowed, &self.allowed);
#endif
            }
        }
        thread = fc_number(job->ranges, job->threads, thread);
        job->slots--;
        job->active++;
        __atomic_fetch_sub(&fc_pool.open, 1, __ATOMIC_RELAXED);
        fc_pool.idle--;
        pthread_mutex_unlock(&fc_pool.lock);
        fc_leave(job->processor);
        fc_work_on(job, thread);
        pthread_mutex_lock(&fc_pool.lock);
        fc_pool.idle++;
        /* The job is its caller's, who may leave as soon as the lock is free. */
        if (!__atomic_sub_fetch(&job->active, 1, __ATOMIC_RELEASE))
            pthread_cond_broadcast(&fc_pool.done);
    }
    return NULL;
}

/* With the lock: another worker, with all signals blocked, which are Python's business. Not an error if there is none. */
static int fc_start_worker(void)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&thread, NULL, fc_worker, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return 0;
    pthread_detach(thread);
    fc_pool.idle++;
    return 1;
}

/* A child has none of its parent's threads, and what they held may be in any state: it starts anew. */
static void fc_forget_pool(void)
{
    const pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    const pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    fc_pool.lock = lock;
    fc_pool.done = cond;
    fc_pool.jobs = NULL;
    fc_pool.asleep = NULL;
    fc_pool.idle = fc_pool.open = 0;
}

/* run(work, part, thread) for each part from begin to end, on `threads` at most, numbered from 0, the caller's, with room for
 * as many ranges. */
static void fc_share(fc_part_fn run, const void *work, int64_t begin, int64_t end, int threads, fc_range *ranges)
{
    threads = threads < end - begin ? threads : (int)(end - begin);
    if (threads < 2) {
        fc_do_all(run, work, begin, end);
        return;
    }
    fc_job job = {.run = run, .work = work, .ranges = ranges, .threads = threads, .slots = threads - 1};
    fc_divide(ranges, threads, begin, end);
    fc_number(ranges, threads, 0);
    pthread_mutex_lock(&fc_pool.lock);
    while (fc_pool.idle - fc_pool.open < job.slots && fc_start_worker())
        continue;
    job.processor = fc_processor();
    job.later = fc_pool.jobs;
    fc_pool.jobs = &job;
    __atomic_fetch_add(&fc_pool.open, job.slots, __ATOMIC_RELAXED);
    for (int i = 1; i < threads && fc_pool.asleep; i++) {
        fc_sleeper *const sleeper = fc_pool.asleep;
        fc_pool.asleep = sleeper->below;
        fc_wake(sleeper);
    }
    pthread_mutex_unlock(&fc_pool.lock);
    fc_work_on(&job, 0);
    pthread_mutex_lock(&fc_pool.lock);
    fc_job **at = &fc_pool.jobs;
    while (*at != &job)
        at = &(*at)->later;
    *at = job.later; /* nobody joins any more */
    __atomic_fetch_sub(&fc_pool.open, job.slots, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&fc_pool.lock);
    const double until = fc_now() + FC_SPIN_SECONDS;
    while (__atomic_load_n(&job.active, __ATOMIC_ACQUIRE) && fc_now() < until)
        fc_relax();
    pthread_mutex_lock(&fc_pool.lock);
    while (job.active)
        pthread_cond_wait(&fc_pool.done, &fc_pool.lock);
    pthread_mutex_unlock(&fc_pool.lock);
}

#else

static void fc_forget_pool(void) {}

static void fc_share(fc_part_fn run, const void *work, int64_t begin, int64_t end, int threads, fc_range *ranges)
{
    (void)threads;
    (void)ranges;
    fc_do_all(run, work, begin, end);
}

#endif
#endif
