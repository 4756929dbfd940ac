build-nosig/spec-obj/engine/lua/preempt.o: src/engine/lua/preempt.c \
 src/engine/lua/preempt.h src/engine/engine.h src/state/state.h \
 src/registry/registry.h src/registry/library.h src/base/base.h \
 src/include/stator_plugin.h src/schema/schema.h src/base/json.h \
 src/store/store.h src/include/stator.h src/include/stator_plugin.h \
 src/engine/lua/mcode.h /usr/include/luajit-2.1/lua.h \
 /usr/include/luajit-2.1/luaconf.h
src/engine/lua/preempt.h:
src/engine/engine.h:
src/state/state.h:
src/registry/registry.h:
src/registry/library.h:
src/base/base.h:
src/include/stator_plugin.h:
src/schema/schema.h:
src/base/json.h:
src/store/store.h:
src/include/stator.h:
src/include/stator_plugin.h:
src/engine/lua/mcode.h:
/usr/include/luajit-2.1/lua.h:
/usr/include/luajit-2.1/luaconf.h:
