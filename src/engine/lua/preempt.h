/*
 * preempt.h: stopping a run that has used up its time.
 *
 * `arm` and `disarm` stand around a run, `point` is a safe point: a place
 * where the run is left at once when its time is up. A watchdog thread looks at
 * the runs that are on; where signals can be relied on it also interrupts the
 * run's thread, which leaves the run when it is in code that may be left. Else
 * safe points alone must do: modules are loaded with points in their loops
 * ("fuel", lua/stator/fuel.lua). docs/preemption.md has the reasons.
 *
 * Leaving is a siglongjmp to `escape` with PREEMPT_TIME. The Lua state is not
 * one that could be used or closed then; whoever lands there drops it.
 */
#ifndef STATOR_LUA_PREEMPT_H
#define STATOR_LUA_PREEMPT_H

#include <setjmp.h>

#include "engine/engine.h"
#include "engine/lua/mcode.h"

/* What siglongjmp brings to `escape`. */
enum {
	PREEMPT_MEMORY = 1,
	PREEMPT_TIME = 2,
	PREEMPT_STRING = 3,
	PREEMPT_STACK = 4
};

/* To measure what limits of time cost: a build without them. */
#ifdef STATOR_UNLIMITED
enum { PREEMPT_LIMITS = 0 };
#else
enum { PREEMPT_LIMITS = 1 };
#endif

/* A thread that runs extensions. */
typedef struct lua_thread lua_thread;

/* Machine code that was made for a line of a module. */
typedef struct lua_trace {
	uintptr_t from, to;
	const char *file;
	int line;
} lua_trace;

/* What one state can be stopped by; part of its engine. Zero-initialise. */
typedef struct lua_preempt {
	sigjmp_buf *escape;
	const lua_mcode *code;
	const stator_module *modules; /* whose lines are worth naming */
	size_t module_count;
	bool fuel;	 /* safe points only, no signals */
	lua_State *L;	 /* NULL while it cannot be interrupted */
	lua_thread *thread; /* of the run that is on, or NULL */
	lua_trace *traces; /* the latest is the last */
	size_t trace_count, trace_cap;
	const char *file; /* where it was stopped; NULL: not known */
	int line;
} lua_preempt;

/* The part of a thread that safe points look at. */
struct lua_thread {
	uint64_t run;  /* counts arms and disarms: odd while a run is on */
	uint64_t over; /* the run whose time is up */
	uint64_t due;  /* the same some tries later: safe points may leave */
	uint64_t heard; /* counts signals that have come */
	lua_preempt *preempt;
	uint32_t limit_ms;
	uint32_t signals;
	uint32_t in_host; /* a host function is at work: hands off */
	uint32_t asleep;  /* the watchdog is: wake it */
	struct preempt_stack *stack;
};

/* Life ---------------------------------------------------------------------- */

/*
 * One more user. Starts the watchdog and, the first time, tries out on this
 * machine whether runs can be interrupted. Says whether they can: if not,
 * `wanted` is STATOR_PREEMPTION_FUEL, or why is in the log, and modules need
 * fuel.
 */
bool stator__preempt_open(int32_t wanted, int32_t signal);
void stator__preempt_close(void);
/*
 * For threads that are not the host's, or in the middle of a run: `visit` before
 * the first arm; what it says goes to `leave`, after the last disarm, and the
 * thread is as it was.
 */
bool stator__preempt_visit(void);
void stator__preempt_leave(bool visited);

/* Runs ---------------------------------------------------------------------- */

/* Leaves the run. */
_Noreturn void stator__preempt_stop(lua_preempt *p);
/* Notes the line where it is, for a run that is left by its own allocation. */
void stator__preempt_note(lua_preempt *p);
/* Notes machine code of a line; forgets all of it. */
void stator__preempt_trace(lua_preempt *p, const lua_trace *trace);
void stator__preempt_flush(lua_preempt *p);

/* For what can say the line before it leaves. */
/*
 * Rationale for the TLS model: the signal may reach a thread that never ran an
 * extension, where the first look at a variable of a library that was loaded
 * later would allocate. Eight bytes of static TLS are always there.
 */
extern __thread lua_thread *stator__preempt_self
	__attribute__((tls_model("initial-exec"), visibility("hidden")));
lua_thread *stator__preempt_attach(void);
void stator__preempt_wake(void);

static inline void
stator__preempt_arm(lua_preempt *p, uint32_t limit_ms)
{
	lua_thread *t = stator__preempt_self;

	if (STATOR_UNLIKELY(t == NULL))
		t = stator__preempt_attach();
	p->thread = t;
	t->preempt = p;
	__atomic_store_n(&t->limit_ms, limit_ms, __ATOMIC_RELAXED);
	__atomic_store_n(&t->signals, !p->fuel, __ATOMIC_RELAXED);
	__atomic_store_n(&t->run, t->run + 1, __ATOMIC_RELEASE);
	/* The watchdog's barrier keeps these two in order on its side. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (STATOR_UNLIKELY(__atomic_load_n(&t->asleep, __ATOMIC_RELAXED)))
		stator__preempt_wake();
}

static inline void
stator__preempt_disarm(lua_preempt *p)
{
	lua_thread *t = p->thread;

	__atomic_store_n(&t->run, t->run + 1, __ATOMIC_RELEASE);
	p->thread = NULL;
}

/* For what can say the line before it leaves. */
static inline bool
stator__preempt_over(const lua_preempt *p)
{
	const lua_thread *t = p->thread;

	return t && __atomic_load_n(&t->over, __ATOMIC_RELAXED) == t->run;
}

static inline bool
stator__preempt_due(const lua_preempt *p)
{
	const lua_thread *t = p->thread;

	return PREEMPT_LIMITS && t &&
	       STATOR_UNLIKELY(
			    __atomic_load_n(&t->due, __ATOMIC_RELAXED) ==
			    t->run);
}

/* A safe point. */
static inline void
stator__preempt_point(lua_preempt *p)
{
	if (stator__preempt_due(p))
		stator__preempt_stop(p);
}

/* Around every function that Lua calls: safe points, and hands off between. */
static inline void
stator__preempt_host(lua_preempt *p)
{
	stator__preempt_point(p);
	if (PREEMPT_LIMITS && STATOR_LIKELY(p->thread != NULL))
		__atomic_store_n(&p->thread->in_host, 1, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void
stator__preempt_author(lua_preempt *p)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (PREEMPT_LIMITS && STATOR_LIKELY(p->thread != NULL))
		__atomic_store_n(&p->thread->in_host, 0, __ATOMIC_RELAXED);
	stator__preempt_point(p);
}

/* For preempt.c and its parts ------------------------------------------------ */

/* Takes the signal; why it cannot is in `why`. */
bool stator__preempt_signals_open(int32_t signal, const char **why);
void stator__preempt_signals_close(void);
/* What a thread needs to be interrupted; NULL where there are no signals. */
typedef struct preempt_stack preempt_stack;
preempt_stack *stator__preempt_stack_new(void);
void stator__preempt_stack_free(preempt_stack *stack);
/* Interrupts a thread, which looks whether its run may be left there. */
void stator__preempt_interrupt(int32_t tid);
/* Whether a loop, an interpreted loop and a pattern can be stopped. */
bool stator__preempt_proof(void);

#endif
