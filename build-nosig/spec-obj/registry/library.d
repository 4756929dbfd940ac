build-nosig/spec-obj/registry/library.o: src/registry/library.c \
 src/base/files.h src/base/base.h src/include/stator_plugin.h \
 src/registry/library.h
src/base/files.h:
src/base/base.h:
src/include/stator_plugin.h:
src/registry/library.h:
