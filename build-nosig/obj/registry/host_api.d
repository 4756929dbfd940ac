build-nosig/obj/registry/host_api.o: src/registry/host_api.c \
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
