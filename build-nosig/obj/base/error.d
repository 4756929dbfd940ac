build-nosig/obj/base/error.o: src/base/error.c src/base/base.h \
 src/include/stator_plugin.h
src/base/base.h:
src/include/stator_plugin.h:
