#include "gdal_sgc/interrupt.h"

#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Signals are the process's: only its main thread touches these. */
static volatile sig_atomic_t installed, came;
static unsigned depth;
static struct sigaction host;

static bool on_main_thread(void)
{
    return (pid_t)syscall(SYS_gettid) == getpid();
}

static void note(int signal)
{
    if (!came) {
        came = 1;
        return;
    }
    sigaction(signal, &host, NULL);
    installed = 0;
    raise(signal);
}

void sgc_interrupt_begin(void)
{
    struct sigaction ours = {.sa_handler = note};
    if (!on_main_thread() || depth++ > 0)
        return;
    installed = came = 0;
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
    if (!on_main_thread() || --depth > 0)
        return;
    const bool send_on = installed && came;
    if (installed)
        sigaction(SIGINT, &host, NULL);
    installed = came = 0;
    if (send_on)
        raise(SIGINT);
}
