/*
 * preempt.c: runs that are on, and the watchdog that looks at them.
 *
 * Arming is a few stores and no clock: a run is a number that goes up. The
 * watchdog notes when it first sees a number, and what CPU time the thread had
 * used by then; a run is stopped only when it has had its limit of both since.
 * So a run may get a little more than its limit, and never less.
 *
 * Rationale: wall time alone stops runs that a crowded machine did not let
 * work; CPU time alone never stops one that waits in the host. So the CPU time
 * decides, until PATIENCE times the limit have gone by.
 *
 * The watchdog's clock counts only while the watchdog itself can run: nobody is
 * stopped for the time that a debugger, a SIGSTOP or a sleeping machine took.
 */
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "engine/lua/preempt.h"

enum {
	PATIENCE = 10,	/* times the limit, of wall time */
	IDLE_MS = 100,	/* without a run: the watchdog goes to sleep */
	RETRY_MS = 1,	/* a run that could not be left is tried again */
	POLITE_TRIES = 5, /* before safe points leave, which know no line */
	AGAIN_TRIES = 50, /* before a signal that has not come is sent again */
	DEAF_TRIES = 1000, /* before it is said that none comes */
	LONGEST_MS = 10 /* a new run is seen after this, at the latest */
};
#define MS INT64_C(1000000)

/* A thread, and what the watchdog has seen of its run. */
typedef struct watched {
	lua_thread thread; /* first */
	int32_t tid;
	clockid_t cpu_clock;
	struct watched *next;
	uint64_t run; /* that the rest is about */
	int64_t since, cpu;
	bool over;
	uint32_t tries;
	uint64_t heard;
	uint32_t unheard; /* tries since a signal was sent that has not come */
	struct watched *outer; /* of a run that is waiting for this one's */
} watched;

/* What a process has one of: signals and the fork of a process are its. */
static struct watch {
	pthread_mutex_t life; /* of opening and closing */
	uint32_t users;
	pthread_mutex_t lock; /* of what the watchdog looks at, and `asleep` */
	bool stopping, hooked, barrier, deaf;
	pthread_t watchdog;
	watched *threads;
	pthread_key_t at_exit;
	int64_t now; /* of the watchdog */
	uint32_t bell;
	bool asleep;
} watch = {.life = PTHREAD_MUTEX_INITIALIZER,
	   .lock = PTHREAD_MUTEX_INITIALIZER};

__thread lua_thread *stator__preempt_self;

/* Ringing ------------------------------------------------------------------- */

static void
ring(void)
{
	__atomic_add_fetch(&watch.bell, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &watch.bell, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void
stator__preempt_wake(void)
{
	__atomic_store_n(&stator__preempt_self->asleep, 0, __ATOMIC_RELAXED);
	ring();
}

/* Until the bell rings or `ns` are over. */
static void
sleep_for(uint32_t bell, int64_t ns)
{
	struct timespec t = {ns / 1000000000, ns % 1000000000};

	syscall(SYS_futex, &watch.bell, FUTEX_WAIT_PRIVATE, bell, &t, NULL, 0);
}

/* Threads ------------------------------------------------------------------- */

static void
detach(void *thread)
{
	watched *w = thread, **at = &watch.threads;

	pthread_mutex_lock(&watch.lock);
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	pthread_mutex_unlock(&watch.lock);
	stator__preempt_self = w->outer ? &w->outer->thread : NULL;
	stator__preempt_stack_free(w->thread.stack);
	free(w);
}

lua_thread *
stator__preempt_attach(void)
{
	watched *w = stator__alloc(sizeof(*w));

	w->tid = (int32_t)syscall(SYS_gettid);
	pthread_getcpuclockid(pthread_self(), &w->cpu_clock);
	w->thread.stack = stator__preempt_stack_new();
	w->outer = (watched *)stator__preempt_self;
	pthread_mutex_lock(&watch.lock);
	w->thread.asleep = watch.asleep;
	w->next = watch.threads;
	watch.threads = w;
	pthread_mutex_unlock(&watch.lock);
	stator__preempt_self = &w->thread;
	/* Threads of the host end some day, and this with them. */
	pthread_setspecific(watch.at_exit, w);
	return &w->thread;
}

bool
stator__preempt_visit(void)
{
	/* A run that is on has called the host, which comes back from here. */
	if (stator__preempt_self && stator__preempt_self->run % 2 == 0)
		return false;
	stator__preempt_attach();
	return true;
}

void
stator__preempt_leave(bool visited)
{
	if (!visited)
		return;
	detach(stator__preempt_self);
	pthread_setspecific(watch.at_exit, stator__preempt_self);
}

/* Runs ---------------------------------------------------------------------- */

void
stator__preempt_stop(lua_preempt *p)
{
	siglongjmp(*p->escape, PREEMPT_TIME);
}

void
stator__preempt_flush(lua_preempt *p)
{
	p->trace_count = 0;
}

void
stator__preempt_trace(lua_preempt *p, const lua_trace *trace)
{
	/* LuaJIT keeps 1,000 of them; more is a flush that was not heard of. */
	if (p->trace_count >= 8192)
		p->trace_count = 0;
	STATOR_GROW(p->traces, p->trace_count, p->trace_cap);
	p->traces[p->trace_count++] = *trace;
}

/* The watchdog --------------------------------------------------------------- */

static int64_t
cpu_time(const watched *w)
{
	struct timespec t;

	if (clock_gettime(w->cpu_clock, &t))
		return 0;
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t
smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t
larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* How long the watchdog may look away from a thread with such runs. */
static int64_t
glance(int64_t limit)
{
	return smaller(larger(limit / 16, RETRY_MS * MS), LONGEST_MS * MS);
}

/* Whether the run that has been seen before is over its limit; else when to
 * look again is in `wait`. */
static bool
is_over(const watched *w, int64_t limit, int64_t *wait)
{
	int64_t wall = watch.now - w->since, cpu;

	if (wall < limit) {
		*wait = smaller(*wait, limit - wall);
		return false;
	}
	if (wall >= limit * PATIENCE)
		return true;
	cpu = cpu_time(w) - w->cpu;
	*wait = smaller(*wait, larger(limit - cpu, RETRY_MS * MS));
	return cpu >= limit;
}

/*
 * One signal at a time: a thread that waits for a CPU would find a whole queue
 * of real-time ones. None comes at all where the thread blocks them or somebody
 * has put another handler over this one.
 */
static void
interrupt(watched *w)
{
	uint64_t heard = __atomic_load_n(&w->thread.heard, __ATOMIC_RELAXED);

	if (heard != w->heard)
		w->unheard = 0;
	w->heard = heard;
	if (w->unheard++ % AGAIN_TRIES == 0)
		stator__preempt_interrupt(w->tid);
	if (w->unheard == DEAF_TRIES)
		watch.deaf = true;
}

/* True when the thread has something to be watched. */
static bool
look_at(watched *w, int64_t *wait)
{
	lua_thread *t = &w->thread;
	uint64_t run = __atomic_load_n(&t->run, __ATOMIC_ACQUIRE);
	int64_t limit = __atomic_load_n(&t->limit_ms, __ATOMIC_RELAXED) * MS;
	bool signals = __atomic_load_n(&t->signals, __ATOMIC_RELAXED);
	bool moved = run != w->run;

	if (moved || run % 2 == 1)
		*wait = smaller(*wait, glance(limit));
	if (moved) {
		w->run = run;
		w->over = false;
		w->tries = w->unheard = 0;
		w->since = watch.now;
		if (run % 2 == 1)
			w->cpu = cpu_time(w);
		return true;
	}
	if (run % 2 == 0)
		return false;
	w->over = w->over || is_over(w, limit, wait);
	if (!w->over)
		return true;
	*wait = RETRY_MS * MS;
	__atomic_store_n(&t->over, run, __ATOMIC_RELEASE);
	if (w->tries++ >= POLITE_TRIES)
		__atomic_store_n(&t->due, run, __ATOMIC_RELEASE);
	/* What it does in the host is not to be disturbed. */
	if (signals && !__atomic_load_n(&t->in_host, __ATOMIC_RELAXED))
		interrupt(w);
	return true;
}

static bool
look(int64_t *wait)
{
	bool active = false;

	*wait = LONGEST_MS * MS;
	for (watched *w = watch.threads; w; w = w->next)
		active |= look_at(w, wait);
	return active;
}

static void
set_asleep(bool asleep)
{
	watch.asleep = asleep;
	for (watched *w = watch.threads; w; w = w->next)
		__atomic_store_n(&w->thread.asleep, asleep, __ATOMIC_SEQ_CST);
}

/* Nothing was on for a while: until a run wakes the watchdog. */
static void
doze(uint32_t bell)
{
	int64_t wait;

	set_asleep(true);
	/* From here on every thread that arms sees that it has to wake. */
	if (watch.barrier)
		syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
	if (!look(&wait)) {
		pthread_mutex_unlock(&watch.lock);
		sleep_for(bell, watch.barrier ? 3600 * 1000 * MS : 20 * MS);
		pthread_mutex_lock(&watch.lock);
	}
	set_asleep(false);
}

/* Once: the program will not change its mind. */
static void
say_deaf(void)
{
	static bool said;

	if (!said)
		stator__logf(STATOR_LOG_ERROR, "preemption",
			     "the signal does not reach a run that is over its "
			     "limit: somebody blocks it or has taken it");
	said = true;
}

static void *
watchdog_main(void *ctx)
{
	int64_t before = stator__monotonic_ns(), idle = 0, wait;

	(void)ctx;
	pthread_mutex_lock(&watch.lock);
	while (!watch.stopping) {
		uint32_t bell = __atomic_load_n(&watch.bell, __ATOMIC_SEQ_CST);
		int64_t passed;

		if (look(&wait))
			idle = 0;
		else if ((idle += wait) > IDLE_MS * MS)
			doze(bell);
		pthread_mutex_unlock(&watch.lock);
		if (watch.deaf)
			say_deaf();
		sleep_for(bell, wait);
		passed = stator__monotonic_ns() - before;
		before += passed;
		pthread_mutex_lock(&watch.lock);
		watch.now += smaller(passed, wait + LONGEST_MS * MS);
	}
	pthread_mutex_unlock(&watch.lock);
	return NULL;
}

/* Life ---------------------------------------------------------------------- */

static void
before_fork(void)
{
	pthread_mutex_lock(&watch.life);
	pthread_mutex_lock(&watch.lock);
}

static void
after_fork(void)
{
	pthread_mutex_unlock(&watch.life);
	pthread_mutex_unlock(&watch.lock);
}

/* The child has one thread, and no watchdog; it may open a host of its own. */
static void
in_child(void)
{
	watched *w = (watched *)stator__preempt_self;

	watch.users = 0;
	watch.threads = w;
	for (; w; w = w->outer) {
		w->next = w->outer;
		w->tid = (int32_t)syscall(SYS_gettid);
		pthread_getcpuclockid(pthread_self(), &w->cpu_clock);
	}
	watch.life = watch.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

/* What is done once for a process, and never undone. */
static void
hook(void)
{
	if (watch.hooked)
		return;
	watch.hooked = true;
	pthread_key_create(&watch.at_exit, detach);
	pthread_atfork(before_fork, after_fork, in_child);
	watch.barrier = syscall(SYS_membarrier,
				MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0,
				0) == 0;
}

static void
start_watchdog(void)
{
	sigset_t all, before;

	watch.stopping = false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&watch.watchdog, NULL, watchdog_main, NULL)) {
		fputs("stator: no thread for the watchdog\n", stderr);
		abort();
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Whether signals can be relied on is found out once. */
static bool
try_signals(int32_t signal)
{
	static enum { UNKNOWN, WORKS, FAILS } found;
	static bool said;
	const char *why = "the self-test did not stop what it should";
	bool works = stator__preempt_signals_open(signal, &why);

	if (works && found == UNKNOWN)
		found = stator__preempt_proof() ? WORKS : FAILS;
	if (works && found == WORKS)
		return true;
	if (!said)
		stator__logf(STATOR_LOG_WARNING, "preemption",
			     "%s; modules get fuel instead, which costs more",
			     why);
	said = true;
	return false;
}

bool
stator__preempt_open(int32_t wanted, int32_t signal)
{
	bool signals;

	pthread_mutex_lock(&watch.life);
	hook();
	if (watch.users++ == 0)
		start_watchdog();
	signals = wanted != STATOR_PREEMPTION_FUEL && try_signals(signal);
	pthread_mutex_unlock(&watch.life);
	return signals;
}

void
stator__preempt_close(void)
{
	pthread_mutex_lock(&watch.life);
	if (watch.users && --watch.users == 0) {
		pthread_mutex_lock(&watch.lock);
		watch.stopping = true;
		ring();
		pthread_mutex_unlock(&watch.lock);
		pthread_join(watch.watchdog, NULL);
		stator__preempt_signals_close();
	}
	pthread_mutex_unlock(&watch.life);
}
