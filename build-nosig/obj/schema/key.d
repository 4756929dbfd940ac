build-nosig/obj/schema/key.o: src/schema/key.c src/schema/schema.h \
 src/base/base.h src/include/stator_plugin.h src/base/json.h
src/schema/schema.h:
src/base/base.h:
src/include/stator_plugin.h:
src/base/json.h:
