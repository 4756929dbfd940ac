build-nosig/obj/isolation/wire.o: src/isolation/wire.c \
 src/isolation/wire.h src/registry/registry.h src/registry/library.h \
 src/base/base.h src/include/stator_plugin.h src/schema/schema.h \
 src/base/json.h src/store/store.h
src/isolation/wire.h:
src/registry/registry.h:
src/registry/library.h:
src/base/base.h:
src/include/stator_plugin.h:
src/schema/schema.h:
src/base/json.h:
src/store/store.h:
