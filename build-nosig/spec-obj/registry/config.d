build-nosig/spec-obj/registry/config.o: src/registry/config.c \
 src/registry/registry.h src/registry/library.h src/base/base.h \
 src/include/stator_plugin.h src/schema/schema.h src/base/json.h \
 src/store/store.h
src/registry/registry.h:
src/registry/library.h:
src/base/base.h:
src/include/stator_plugin.h:
src/schema/schema.h:
src/base/json.h:
src/store/store.h:
