/*
 * preempt_self.h: the thread that runs, as a signal sees it.
 *
 * Rationale for the TLS model: the signal may reach a thread that never ran an
 * extension, where the first look at a variable of a library that was loaded
 * later would allocate. Eight bytes of static TLS are always there.
 */
#ifndef STATOR_LUA_PREEMPT_SELF_H
#define STATOR_LUA_PREEMPT_SELF_H

#include "engine/lua/preempt.h"

extern __thread lua_thread *stator__preempt_self
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

#endif
