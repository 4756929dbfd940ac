build-nosig/spec-obj/base/json.o: src/base/json.c src/base/json.h \
 src/base/base.h src/include/stator_plugin.h
src/base/json.h:
src/base/base.h:
src/include/stator_plugin.h:
