/*
 * A wall clock that a test can set, for the programs that load this library by LD_PRELOAD.
 *
 * The file named by WALL_CLOCK_FILE holds a signed 64-bit number of nanoseconds, by which CLOCK_REALTIME differs from the
 * machine's. It is mapped into memory, so that all programs see a change at the same moment. CLOCK_MONOTONIC stays the
 * machine's own, as where an administrator sets the clock. Whoever waits for a time of day wakes up when it is that time by
 * the clock as it is set, also where it was set meanwhile, as the kernel does it.
 *
 * libfaketime can't be used: under it time.sleep() of Python fails with EINVAL.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define SLICE (SECOND / 20)
/* Monotonic clocks begin with the machine: what is more seconds than this is a time of day. */
#define A_TIME_OF_DAY 1000000000LL

static const int64_t none;
static const volatile int64_t *ahead = &none;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("WALL_CLOCK_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED)
        _exit(126); /* a test must not pass because its clock was never set */
    close(file);
    ahead = mapped;
}

static struct timespec moved(struct timespec at, int64_t by)
{
    int64_t all = at.tv_sec * SECOND + at.tv_nsec + by;
    return (struct timespec){all / SECOND, all % SECOND};
}

static int later(struct timespec one, struct timespec other)
{
    return one.tv_sec > other.tv_sec || (one.tv_sec == other.tv_sec && one.tv_nsec > other.tv_nsec);
}

int clock_gettime(clockid_t which, struct timespec *at)
{
    int failed = (int)syscall(SYS_clock_gettime, which, at);
    if (!failed && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
        *at = moved(*at, *ahead);
    return failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    *at = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *at)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at)
        *at = now.tv_sec;
    return now.tv_sec;
}

/* The machine's time until which to wait now; whether the wait is over then. */
static int slice(const struct timespec *until, struct timespec *end)
{
    struct timespec target = moved(*until, -*ahead), now;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    *end = moved(now, SLICE);
    if (later(target, *end))
        return 0;
    *end = target;
    return 1;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until)
{
    struct timespec end;
    int last, result;
    if (until->tv_sec < A_TIME_OF_DAY)
        return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, until);
    do {
        last = slice(until, &end);
        result = pthread_cond_clockwait(condition, mutex, CLOCK_REALTIME, &end);
    } while (result == ETIMEDOUT && !last);
    return result;
}

int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until)
{
    struct timespec end;
    int last, result;
    do {
        last = slice(until, &end);
        result = pthread_mutex_clocklock(mutex, CLOCK_REALTIME, &end);
    } while (result == ETIMEDOUT && !last);
    return result;
}

int sem_timedwait(sem_t *semaphore, const struct timespec *until)
{
    struct timespec end;
    int last, result;
    do {
        last = slice(until, &end);
        result = sem_clockwait(semaphore, CLOCK_REALTIME, &end);
    } while (result == -1 && errno == ETIMEDOUT && !last);
    return result;
}
