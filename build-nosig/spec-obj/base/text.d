build-nosig/spec-obj/base/text.o: src/base/text.c src/base/base.h \
 src/include/stator_plugin.h
src/base/base.h:
src/include/stator_plugin.h:
