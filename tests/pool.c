/* The pool under stress, for ThreadSanitizer: six callers at once with up to nine threads each, then children. Every part
 * must run exactly once. */

#define _GNU_SOURCE /* as Python.h does */
#include "_pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PARTS = 200 };

static void count(const void *work, int64_t part, int thread)
{
    (void)thread;
    (*(int *const *)work)[part]++;
}

static void *call(void *seed)
{
    unsigned random = (unsigned)(uintptr_t)seed;
    for (int round = 0; round < 1000; round++) {
        int counts[PARTS] = {0}, *work = counts;
        const int parts = 1 + rand_r(&random) % PARTS, threads = 1 + rand_r(&random) % 9;
        fc_share(count, &work, 0, parts, threads);
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
