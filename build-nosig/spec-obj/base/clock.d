build-nosig/spec-obj/base/clock.o: src/base/clock.c src/base/base.h \
 src/include/stator_plugin.h
src/base/base.h:
src/include/stator_plugin.h:
