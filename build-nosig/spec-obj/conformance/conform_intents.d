build-nosig/spec-obj/conformance/conform_intents.o: \
 src/conformance/conform_intents.c src/conformance/conform.h \
 src/registry/registry.h src/registry/library.h src/base/base.h \
 src/include/stator_plugin.h src/schema/schema.h src/base/json.h \
 src/store/store.h
src/conformance/conform.h:
src/registry/registry.h:
src/registry/library.h:
src/base/base.h:
src/include/stator_plugin.h:
src/schema/schema.h:
src/base/json.h:
src/store/store.h:
