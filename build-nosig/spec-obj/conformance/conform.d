build-nosig/spec-obj/conformance/conform.o: src/conformance/conform.c \
 src/conformance/conform.h src/registry/registry.h src/registry/library.h \
 src/base/base.h src/include/stator_plugin.h src/schema/schema.h \
 src/base/json.h src/store/store.h src/include/stator.h \
 src/include/stator_plugin.h
src/conformance/conform.h:
src/registry/registry.h:
src/registry/library.h:
src/base/base.h:
src/include/stator_plugin.h:
src/schema/schema.h:
src/base/json.h:
src/store/store.h:
src/include/stator.h:
src/include/stator_plugin.h:
