/*
 * preempt_signal.c: interrupting a run, and the places where it may be left.
 *
 * The signal reaches the thread anywhere. Where it was is told by the program
 * counter: in the state's own machine code, in LuaJIT's text or in libm's, the
 * run may be left, since nothing outside of the state is being changed there.
 * libc's plain functions on bytes (memcmp and the like) may be left as well, as
 * long as LuaJIT itself called them: they have no frame, so the word on the top
 * of the stack is the return address. Everywhere else the signal does nothing;
 * the watchdog sends it again.
 *
 * What is in the way even at such a place: a host function further up (it may
 * use libm, or another LuaJIT, and hold locks), a handler of somebody else's
 * signal (seen by the mask of signals), and machine code that changes its place
 * (there is no area then). docs/preemption.md goes through them.
 */
#include "engine/lua/preempt.h"

/* clang's way to say __SANITIZE_THREAD__. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define STATOR_NO_SIGNALS
#endif
#endif

#if defined(__x86_64__) && defined(__GLIBC__) && \
	!defined(__SANITIZE_THREAD__) && !defined(STATOR_NO_SIGNALS)

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <luajit.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* After so many tries, a millisecond apart, what is only in the way for an
 * instant is not the reason any more. */
enum { PATIENT_TRIES = 50 };
/* The interpreter is given this long to come to its next instruction, and
 * machine code to come to a line of a module: only for the message. */
enum { POLITE_TRIES = 5 };

typedef struct range {
	uintptr_t from, to;
} range;

enum { BYTE_FUNCTIONS = 7 };

static struct signals {
	int number; /* 0: not taken */
	struct sigaction before;
	range luajit, libm;
	range bytes[BYTE_FUNCTIONS]; /* of libc */
	size_t byte_count;
	/* Bound already: a handler does not wait for the dynamic linker. */
	int (*sethook)(lua_State *L, lua_Hook f, int mask, int count);
} signals;

struct preempt_stack {
	void *memory; /* NULL: the thread had one */
	size_t size;
	sigset_t before; /* mask of the thread */
	uint64_t mask;	 /* while it runs extensions */
	uint32_t control_sse;
	uint16_t control_x87;
	uint64_t run; /* that has been tried to be left */
	uint32_t tries;
};

/* Places -------------------------------------------------------------------- */

static bool
within(const range *r, uintptr_t at)
{
	return at >= r->from && at < r->to;
}

/* The text of the library that has `address`. */
typedef struct text_search {
	uintptr_t address;
	range found;
	bool program; /* it is the program itself */
} text_search;

static int
search_object(struct dl_phdr_info *info, size_t size, void *ctx)
{
	text_search *s = ctx;

	(void)size;
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		range r = {info->dlpi_addr + p->p_vaddr,
			   info->dlpi_addr + p->p_vaddr + p->p_memsz};

		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X) ||
		    !within(&r, s->address))
			continue;
		s->found = r;
		s->program = info->dlpi_name == NULL || !*info->dlpi_name;
		return 1;
	}
	return 0;
}

static bool
find_text(uintptr_t address, range *out)
{
	text_search s = {.address = address};

	dl_iterate_phdr(search_object, &s);
	*out = s.found;
	return s.found.from && !s.program;
}

static uintptr_t
function_at(uintptr_t pc)
{
	lua_unwind_bases bases = {NULL, NULL, NULL};

	if (_Unwind_Find_FDE((void *)pc, &bases) == NULL)
		return 0;
	return (uintptr_t)bases.function;
}

/* The unwinder knows where functions begin and end. */
static void
add_byte_function(const char *name, const range *libc)
{
	range r = {(uintptr_t)dlsym(RTLD_DEFAULT, name), 0};

	if (_Unwind_Find_FDE == NULL || !within(libc, r.from) ||
	    function_at(r.from) != r.from)
		return;
	for (r.to = r.from; function_at(r.to + 16) == r.from;)
		r.to += 16;
	signals.bytes[signals.byte_count++] = r;
}

static bool
find_places(const char **why)
{
	static const char *const names[BYTE_FUNCTIONS] = {
		"memchr", "memcmp", "memcpy", "memmove",
		"memset", "strlen", "strchr"};
	range libc = {0, 0}, own = {0, 0};

	/* A function that nobody puts another one in the place of. */
	if (!find_text((uintptr_t)dlsym(RTLD_DEFAULT, "gnu_get_libc_version"),
		       &libc))
		libc = (range){0, 0};
	if (!find_text((uintptr_t)lua_newstate, &signals.luajit)) {
		*why = "LuaJIT is not a library of its own";
		return false;
	}
	find_text((uintptr_t)stator__preempt_signals_open, &own);
	if (own.from == signals.luajit.from) {
		*why = "LuaJIT is linked into the library";
		return false;
	}
	if (!find_text((uintptr_t)dlsym(RTLD_DEFAULT, "atan2"), &signals.libm))
		signals.libm = (range){0, 0};
	signals.byte_count = 0;
	for (size_t i = 0; i < BYTE_FUNCTIONS; i++)
		add_byte_function(names[i], &libc);
	return true;
}

static bool
in_own_code(const lua_preempt *p, uintptr_t pc)
{
	uintptr_t area = (uintptr_t)stator__lua_mcode_area(p->code);

	return area && pc - area < LUA_MCODE_SIZE;
}

/* Called from LuaJIT without a frame. */
static bool
in_byte_function(const lua_preempt *p, uintptr_t pc, const uintptr_t *sp)
{
	for (size_t i = 0; i < signals.byte_count; i++) {
		if (within(&signals.bytes[i], pc))
			return within(&signals.luajit, *sp) ||
			       in_own_code(p, *sp);
	}
	return false;
}

/* Leaving ------------------------------------------------------------------- */

/* The line that the machine code was made for; false: it is none's. */
static bool
note_trace(lua_preempt *p, uintptr_t pc)
{
	for (size_t i = p->trace_count; i-- > 0;) {
		const lua_trace *t = &p->traces[i];

		if (pc < t->from || pc >= t->to)
			continue;
		p->file = t->file;
		p->line = t->line;
		return true;
	}
	return false;
}

enum { STACK_WORDS = 48, DEEP_WORDS = 256 };

/* The line of the machine code that called what runs: a guess by what looks
 * like a return address. False: there is nothing of the kind. */
__attribute__((no_sanitize("address"))) static bool
guess_trace(lua_preempt *p, const uintptr_t *sp, size_t words)
{
	bool compiled = false;

	for (size_t i = 0; i < words; i++) {
		if (!in_own_code(p, sp[i]))
			continue;
		if (note_trace(p, sp[i]))
			return true;
		compiled = true;
	}
	return compiled;
}

/* The innermost line of a module. */
static void
note_line(lua_preempt *p, lua_State *L)
{
	lua_Debug at;

	for (int level = 0; lua_getstack(L, level, &at); level++) {
		if (!lua_getinfo(L, "Sl", &at) || at.currentline <= 0 ||
		    at.source[0] != '@')
			continue;
		for (size_t i = 0; i < p->module_count; i++) {
			if (strcmp(p->modules[i].path, at.source + 1) != 0)
				continue;
			p->file = p->modules[i].path;
			p->line = at.currentline;
			return;
		}
	}
}

/*
 * LuaJIT has called the allocator: from machine code, which stands on the stack
 * then, or from the interpreter, whose frames are in order whenever it calls
 * anything.
 */
void
stator__preempt_note(lua_preempt *p)
{
	p->file = NULL;
	if (p->L && !guess_trace(p, __builtin_frame_address(0), DEEP_WORDS))
		note_line(p, p->L);
}

static bool
is_over(const lua_thread *t)
{
	return t->run % 2 == 1 &&
	       __atomic_load_n(&t->over, __ATOMIC_RELAXED) == t->run;
}

/* The interpreter calls this before its next instruction. */
static void
on_hook(lua_State *L, lua_Debug *at)
{
	lua_thread *t = stator__preempt_self;

	(void)at;
	/* It is of a run that was over just then. */
	if (t == NULL || !is_over(t)) {
		lua_sethook(L, NULL, 0, 0);
		return;
	}
	note_line(t->preempt, L);
	stator__preempt_stop(t->preempt);
}

/* A signal begins with the default rounding and traps and blocks its number; the
 * thread goes on with what it had. */
static _Noreturn void
leave(lua_preempt *p, const preempt_stack *stack, const ucontext_t *context)
{
	__asm__ volatile("ldmxcsr %0" : : "m"(stack->control_sse));
	__asm__ volatile("fldcw %0" : : "m"(stack->control_x87));
	pthread_sigmask(SIG_SETMASK, &context->uc_sigmask, NULL);
	stator__preempt_stop(p);
}

static void
try_to_leave(lua_thread *t, const ucontext_t *context)
{
	const greg_t *registers = context->uc_mcontext.gregs;
	uintptr_t pc = (uintptr_t)registers[REG_RIP];
	const uintptr_t *sp = (const uintptr_t *)registers[REG_RSP];
	preempt_stack *stack = t->stack;
	lua_preempt *p = t->preempt;
	uint32_t polite = p->module_count ? POLITE_TRIES : 1;
	uint64_t mask;

	if (stack->run != t->run) {
		stack->run = t->run;
		stack->tries = 0;
	}
	stack->tries++;
	memcpy(&mask, &context->uc_sigmask, sizeof(mask));
	/* Somebody's handler has been interrupted, not the run itself. */
	if (mask != stack->mask && stack->tries < PATIENT_TRIES)
		return;
	if (in_own_code(p, pc) &&
	    (note_trace(p, pc) || stack->tries >= polite))
		leave(p, stack, context);
	/* The interpreter is asked first: it knows its line. */
	if (stack->tries == 1)
		signals.sethook(p->L, on_hook, LUA_MASKCOUNT, 1);
	if (stack->tries <= polite)
		return;
	/* No area: one may be on its way to be registered, or to be freed. */
	if (p->code->noted && stator__lua_mcode_area(p->code) == NULL &&
	    stack->tries < PATIENT_TRIES)
		return;
	if (!within(&signals.luajit, pc) && !within(&signals.libm, pc) &&
	    !in_byte_function(p, pc, sp))
		return;
	guess_trace(p, sp, STACK_WORDS);
	leave(p, stack, context);
}

static void
pass_on(int number, siginfo_t *info, void *context)
{
	const struct sigaction *before = &signals.before;
	sigset_t mask;

	if (!(before->sa_flags & SA_SIGINFO) &&
	    (before->sa_handler == SIG_DFL || before->sa_handler == SIG_IGN))
		return;
	pthread_sigmask(SIG_BLOCK, &before->sa_mask, &mask);
	if (before->sa_flags & SA_SIGINFO)
		before->sa_sigaction(number, info, context);
	else
		before->sa_handler(number);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

static void
on_signal(int number, siginfo_t *info, void *context)
{
	lua_thread *t;
	int error = errno;

	if (info->si_code != SI_QUEUE ||
	    info->si_value.sival_ptr != (void *)&signals) {
		pass_on(number, info, context);
		errno = error;
		return;
	}
	t = stator__preempt_self;
	if (t)
		__atomic_store_n(&t->heard, t->heard + 1, __ATOMIC_RELAXED);
	if (t && t->stack && is_over(t) &&
	    !__atomic_load_n(&t->in_host, __ATOMIC_RELAXED) &&
	    t->preempt->L)
		try_to_leave(t, context);
	errno = error;
}

void
stator__preempt_interrupt(int32_t tid)
{
	siginfo_t info = {.si_code = SI_QUEUE};

	info.si_signo = signals.number;
	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_ptr = &signals;
	/* A thread by its number: one that has ended is no harm. */
	syscall(SYS_rt_tgsigqueueinfo, info.si_pid, tid, signals.number, &info);
}

/* Threads ------------------------------------------------------------------- */

preempt_stack *
stator__preempt_stack_new(void)
{
	preempt_stack *s;
	stack_t now;
	sigset_t ours, mask;

	if (signals.number == 0)
		return NULL;
	s = stator__alloc(sizeof(*s));
	__asm__ volatile("stmxcsr %0" : "=m"(s->control_sse));
	__asm__ volatile("fnstcw %0" : "=m"(s->control_x87));
	sigemptyset(&ours);
	sigaddset(&ours, signals.number);
	pthread_sigmask(SIG_UNBLOCK, &ours, &s->before);
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	memcpy(&s->mask, &mask, sizeof(s->mask));
	if (sigaltstack(NULL, &now) == 0 && !(now.ss_flags & SS_DISABLE))
		return s;
	s->size = (size_t)sysconf(_SC_MINSIGSTKSZ) + 64 * 1024;
	s->memory = mmap(NULL, s->size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (s->memory == MAP_FAILED) {
		/* The thread's own stack has to do. */
		s->memory = NULL;
		return s;
	}
	now = (stack_t){.ss_sp = s->memory, .ss_size = s->size};
	sigaltstack(&now, NULL);
	return s;
}

void
stator__preempt_stack_free(preempt_stack *s)
{
	const stack_t none = {.ss_flags = SS_DISABLE};

	if (s == NULL)
		return;
	pthread_sigmask(SIG_SETMASK, &s->before, NULL);
	if (s->memory) {
		sigaltstack(&none, NULL);
		munmap(s->memory, s->size);
	}
	free(s);
}

/* Life ---------------------------------------------------------------------- */

/* Valgrind answers to this sequence, which does nothing otherwise. */
static bool
on_valgrind(void)
{
	const uint64_t request[6] = {0x1001};
	uint64_t answer = 0;

	__asm__ volatile("rolq $3, %%rdi; rolq $13, %%rdi\n\t"
			 "rolq $61, %%rdi; rolq $51, %%rdi\n\t"
			 "xchgq %%rbx, %%rbx"
			 : "+d"(answer)
			 : "a"(request)
			 : "cc", "memory");
	return answer != 0;
}

/* The library stays: its handler may be the one that somebody passes on to. */
static void
pin(void)
{
	Dl_info info;

	if (dladdr((void *)(uintptr_t)on_signal, &info) && info.dli_fname)
		dlopen(info.dli_fname,
		       RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

bool
stator__preempt_signals_open(int32_t number, const char **why)
{
	struct sigaction ours = {.sa_sigaction = on_signal};

	if (signals.number)
		return true;
	if (on_valgrind()) {
		*why = "valgrind has signals of its own";
		return false;
	}
	if (!find_places(why))
		return false;
	pin();
	signals.sethook = lua_sethook;
	number = number ? number : SIGURG;
	sigemptyset(&ours.sa_mask);
	/*
	 * Rationale for no SA_NODEFER: real-time signals queue up while the
	 * thread waits for a CPU, and would come one inside of the other.
	 */
	ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
	if (sigaction(number, &ours, &signals.before)) {
		*why = "the signal cannot be taken";
		return false;
	}
	signals.number = number;
	return true;
}

/* Gives the signal back, unless somebody has put a handler over this one. */
void
stator__preempt_signals_close(void)
{
	struct sigaction now;

	if (signals.number == 0 || sigaction(signals.number, NULL, &now) ||
	    !(now.sa_flags & SA_SIGINFO) || now.sa_sigaction != on_signal)
		return;
	sigaction(signals.number, &signals.before, NULL);
	signals.number = 0;
}

#else

/* Where nobody knows how to tell such places: fuel. */
bool
stator__preempt_signals_open(int32_t number, const char **why)
{
	(void)number;
	*why = "runs cannot be interrupted in this build";
	return false;
}

void
stator__preempt_signals_close(void)
{
}

preempt_stack *
stator__preempt_stack_new(void)
{
	return NULL;
}

void
stator__preempt_stack_free(preempt_stack *stack)
{
	(void)stack;
}

void
stator__preempt_interrupt(int32_t tid)
{
	(void)tid;
}

void
stator__preempt_note(lua_preempt *p)
{
	p->file = NULL;
}

#endif
