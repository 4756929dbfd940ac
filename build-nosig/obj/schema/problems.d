build-nosig/obj/schema/problems.o: src/schema/problems.c \
 src/schema/schema.h src/base/base.h src/include/stator_plugin.h \
 src/base/json.h
src/schema/schema.h:
src/base/base.h:
src/include/stator_plugin.h:
src/base/json.h:
