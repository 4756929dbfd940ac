build-nosig/spec-obj/processor/async.o: src/processor/async.c \
 src/processor/processor.h src/app/app.h src/engine/engine.h \
 src/state/state.h src/registry/registry.h src/registry/library.h \
 src/base/base.h src/include/stator_plugin.h src/schema/schema.h \
 src/base/json.h src/store/store.h src/include/stator.h \
 src/include/stator_plugin.h
src/processor/processor.h:
src/app/app.h:
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
