build-nosig/obj/base/memory.o: src/base/memory.c src/base/base.h \
 src/include/stator_plugin.h
src/base/base.h:
src/include/stator_plugin.h:
