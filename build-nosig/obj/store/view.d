build-nosig/obj/store/view.o: src/store/view.c src/store/store.h \
 src/base/base.h src/include/stator_plugin.h
src/store/store.h:
src/base/base.h:
src/include/stator_plugin.h:
