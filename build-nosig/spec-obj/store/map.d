build-nosig/spec-obj/store/map.o: src/store/map.c src/store/store.h \
 src/base/base.h src/include/stator_plugin.h
src/store/store.h:
src/base/base.h:
src/include/stator_plugin.h:
