build-nosig/obj/schema/type.o: src/schema/type.c src/schema/schema.h \
 src/base/base.h src/include/stator_plugin.h src/base/json.h
src/schema/schema.h:
src/base/base.h:
src/include/stator_plugin.h:
src/base/json.h:
