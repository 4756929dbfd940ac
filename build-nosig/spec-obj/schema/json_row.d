build-nosig/spec-obj/schema/json_row.o: src/schema/json_row.c \
 src/schema/schema.h src/base/base.h src/include/stator_plugin.h \
 src/base/json.h
src/schema/schema.h:
src/base/base.h:
src/include/stator_plugin.h:
src/base/json.h:
