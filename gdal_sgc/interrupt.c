#include "gdal_sgc/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "store/fork.h"

/* Signals are the process's: only its main thread touches these, and the handler, on any. */
static atomic_bool installed, came;
static unsigned depth;
static struct sigaction host;

static bool on_main_thread(void)
{
    return (pid_t)syscall(SYS_gettid) == getpid();
}

static void note(int signal)
{
    if (!atomic_exchange(&came, true))
        return;
    sigaction(signal, &host, NULL);
    installed = false;
    raise(signal);
}

/* Another thread has forked: the load is its parent's. */
static void leave_in_child(void *object)
{
    (void)object;
    if (installed)
        sigaction(SIGINT, &host, NULL);
    installed = came = false;
    depth = 0;
}

static void watch_forks(void)
{
    static sgc_fork_watch forks;
    sgc_fork_watch_begin(&forks, leave_in_child, NULL);
}

void sgc_interrupt_begin(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct sigaction ours = {.sa_handler = note};
    pthread_once(&once, watch_forks);
    if (!on_main_thread() || depth++ > 0)
        return;
    installed = came = false;
    if (sigaction(SIGINT, NULL, &host) != 0 || host.sa_handler == SIG_IGN)
        return;
    sigemptyset(&ours.sa_mask);
    installed = sigaction(SIGINT, &ours, NULL) == 0;
}

bool sgc_interrupt_came(void)
{
    return came && on_main_thread();
}

void sgc_interrupt_end(void)
{
    if (!on_main_thread() || depth == 0 || --depth > 0)
        return;
    const bool send_on = installed && came;
    if (installed)
        sigaction(SIGINT, &host, NULL);
    installed = came = false;
    if (send_on)
        raise(SIGINT);
}
