build-nosig/obj/isolation/proxy.o: src/isolation/proxy.c src/base/files.h \
 src/base/base.h src/include/stator_plugin.h src/isolation/isolation.h \
 src/registry/registry.h src/registry/library.h src/schema/schema.h \
 src/base/json.h src/store/store.h src/isolation/process.h \
 src/isolation/wire.h
src/base/files.h:
src/base/base.h:
src/include/stator_plugin.h:
src/isolation/isolation.h:
src/registry/registry.h:
src/registry/library.h:
src/schema/schema.h:
src/base/json.h:
src/store/store.h:
src/isolation/process.h:
src/isolation/wire.h:
