/* The pool under stress, for ThreadSanitizer: six callers at once with up to nine threads each, then children. Every part
 * must run exactly once, and before that, with nothing else to do, each by the thread that had it in the job before. */

#define _GNU_SOURCE /* as Python.h does */
#include "_pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PARTS = 200, THREADS = 4 };

static pthread_barrier_t all_begun;

/* A part that ends when there is one in each thread: none can take two. */
static void meet(const void *work, int64_t part, int thread)
{
    if (part != thread)
        abort();
    ((pthread_t *)*(void *const *)work)[part] = pthread_self();
    pthread_barrier_wait(&all_begun);
}

static void meet_again(void)
{
    fc_range ranges[THREADS];
    pthread_t first[THREADS], later[THREADS];
    pthread_barrier_init(&all_begun, NULL, THREADS);
    for (int round = 0; round < 200; round++) {
        void *work = round ? later : first;
        fc_share(meet, &work, 0, THREADS, THREADS, ranges);
        for (int i = 0; round && i < THREADS; i++)
            if (!pthread_equal(first[i], later[i]))
                abort();
        if (round % 50 == 0)
            usleep(1000); /* longer than workers look for work */
    }
}

static void count(const void *work, int64_t part, int thread)
{
    (void)thread;
    (*(int *const *)work)[part]++;
}

static void *call(void *seed)
{
    unsigned random = (unsigned)(uintptr_t)seed;
    fc_range ranges[9];
    for (int round = 0; round < 1000; round++) {
        int counts[PARTS] = {0}, *work = counts;
        const int parts = 1 + rand_r(&random) % PARTS, threads = 1 + rand_r(&random) % 9;
        fc_share(count, &work, 0, parts, threads, ranges);
        for (int part = 0; part < PARTS; part++)
            if (counts[part] != (part < parts))
                abort();
        if (round % 200 == 0)
            usleep(1000); /* longer than workers look for work */
    }
    return NULL;
}

int main(int argc, char **argv)
{
    (void)argv;
    pthread_t callers[6];
    pthread_atfork(NULL, NULL, fc_forget_pool);
    meet_again();
    for (uintptr_t i = 0; i < 6; i++)
        pthread_create(&callers[i], NULL, call, (void *)i);
    for (int i = 0; i < 6; i++)
        pthread_join(callers[i], NULL);
    for (int i = 0; i < 5 && argc > 1; i++) {
        const pid_t child = fork();
        if (child == 0) {
            call(NULL);
            _exit(0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (status)
            return 1;
    }
    return puts("every part ran once") < 0;
}
