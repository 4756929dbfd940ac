build-nosig/obj/conformance/describe.o: src/conformance/describe.c \
 src/registry/registry.h src/registry/library.h src/base/base.h \
 src/include/stator_plugin.h src/schema/schema.h src/base/json.h \
 src/store/store.h src/include/stator.h src/include/stator_plugin.h
src/registry/registry.h:
src/registry/library.h:
src/base/base.h:
src/include/stator_plugin.h:
src/schema/schema.h:
src/base/json.h:
src/store/store.h:
src/include/stator.h:
src/include/stator_plugin.h:
