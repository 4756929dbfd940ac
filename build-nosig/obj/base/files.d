build-nosig/obj/base/files.o: src/base/files.c src/base/files.h \
 src/base/base.h src/include/stator_plugin.h
src/base/files.h:
src/base/base.h:
src/include/stator_plugin.h:
