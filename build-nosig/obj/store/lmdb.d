build-nosig/obj/store/lmdb.o: src/store/lmdb.c src/store/store.h \
 src/base/base.h src/include/stator_plugin.h
src/store/store.h:
src/base/base.h:
src/include/stator_plugin.h:
