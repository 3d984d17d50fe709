/* An event loop in C whose rules are a Python plugin.
 *
 *     rules PLUGINS_FOLDER    reads events from stdin, a line each, and prints the verdict of rules.judge on each
 *
 * One thread and one epoll: it never waits for Python. Up to MOST_PENDING events are with the plugin at a time; while
 * that many are, stdin is not read. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <pyhost.h>

enum { MOST_PENDING = 256, LINE_MOST = 4096 };

typedef struct loop {
    int epoll;
    pyhost_function *judge;
    pyhost_builder *arguments;
    pyhost_completions *completions;
    size_t pending;
    bool ended; /* stdin has */
    char line[LINE_MOST];
    size_t length;
} loop;

static int complain(const char *what, pyhost_error *error)
{
    fprintf(stderr, "%s: %s\n%s", what, pyhost_error_message(error), pyhost_error_traceback(error));
    pyhost_error_free(error);
    return 1;
}

/* Hands one line to the plugin. */
static void submit(loop *self)
{
    pyhost_error *error = NULL;
    pyhost_builder_str(self->arguments, self->line, self->length);
    self->length = 0;
    if (pyhost_function_submit(self->judge, self->arguments, 0, self->completions, NULL, NULL, &error) != PYHOST_OK) {
        complain("an event was not accepted", error);
    } else {
        self->pending++;
    }
}

/* Takes what stdin has, as long as there is room for more events. */
static void read_events(loop *self)
{
    char byte;
    while (self->pending < MOST_PENDING) {
        ssize_t count = read(STDIN_FILENO, &byte, 1);
        if (count < 0 && errno == EAGAIN) {
            return;
        }
        if (count <= 0) {
            self->ended = true;
            return;
        }
        if (byte == '\n') {
            submit(self);
        } else if (self->length < LINE_MOST) {
            self->line[self->length++] = byte;
        }
    }
}

static void print_verdict(pyhost_call *call)
{
    pyhost_error *error = NULL;
    pyhost_value *value = NULL;
    const char *text = "";
    size_t size = 0;
    if (pyhost_call_result(call, &value, &error) != PYHOST_OK) {
        complain("an event was not judged", error);
        return;
    }
    pyhost_reader reader = pyhost_reader_make(value);
    if (pyhost_reader_str(&reader, &text, &size) == PYHOST_OK) {
        printf("%.*s\n", (int)size, text);
    }
    pyhost_value_unref(value);
}

static void take_verdicts(loop *self)
{
    pyhost_call *call;
    while ((call = pyhost_completions_take(self->completions)) != NULL) {
        print_verdict(call);
        pyhost_call_unref(call);
        self->pending--;
    }
}

/* Whether the descriptor can be waited for: a file is always ready, and epoll takes none. */
static bool watch(loop *self, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    bool watched = epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
    if (!watched && errno != EPERM) {
        perror("epoll_ctl");
        exit(1);
    }
    return watched;
}

static void run(loop *self)
{
    bool watches_stdin = false, can_watch_stdin = true;
    watch(self, pyhost_completions_fd(self->completions));
    while (!self->ended || self->pending > 0) {
        bool reads = !self->ended && self->pending < MOST_PENDING;
        if (reads && !watches_stdin && can_watch_stdin) {
            can_watch_stdin = watches_stdin = watch(self, STDIN_FILENO);
        } else if (!reads && watches_stdin) {
            epoll_ctl(self->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
            watches_stdin = false;
        }
        struct epoll_event events[2];
        if (epoll_wait(self->epoll, events, 2, reads && !watches_stdin ? 0 : -1) < 0 && errno != EINTR) {
            perror("epoll_wait");
            exit(1);
        }
        take_verdicts(self);
        if (reads) {
            read_events(self);
        }
    }
}

int main(int argc, char **argv)
{
    pyhost_runtime *runtime = NULL;
    pyhost_error *error = NULL;
    pyhost_runtime_options options = {.size = sizeof options, .plugins = argc > 1 ? argv[1] : "plugins"};
    if (pyhost_runtime_start(&options, &runtime, &error) != PYHOST_OK) {
        return complain("pyhost does not start", error);
    }
    loop self = {.epoll = epoll_create1(EPOLL_CLOEXEC), .arguments = pyhost_builder_new()};
    if (self.arguments == NULL || pyhost_function_new(runtime, "rules.judge", &self.judge) != PYHOST_OK ||
        pyhost_completions_new(&self.completions) != PYHOST_OK) {
        fputs("no memory\n", stderr);
        return 1;
    }
    fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
    run(&self);
    pyhost_completions_free(self.completions);
    pyhost_function_unref(self.judge);
    pyhost_builder_free(self.arguments);
    close(self.epoll);
    if (pyhost_runtime_stop(runtime, 1000000000, &error) != PYHOST_OK) {
        return complain("pyhost does not stop", error);
    }
    return 0;
}
