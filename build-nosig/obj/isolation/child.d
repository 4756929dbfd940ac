build-nosig/obj/isolation/child.o: src/isolation/child.c \
 src/isolation/process.h src/isolation/wire.h src/registry/registry.h \
 src/registry/library.h src/base/base.h src/include/stator_plugin.h \
 src/schema/schema.h src/base/json.h src/store/store.h
src/isolation/process.h:
src/isolation/wire.h:
src/registry/registry.h:
src/registry/library.h:
src/base/base.h:
src/include/stator_plugin.h:
src/schema/schema.h:
src/base/json.h:
src/store/store.h:
