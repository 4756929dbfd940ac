build-nosig/obj/cli/main.o: src/cli/main.c src/cli/cli.h \
 src/include/stator.h src/include/stator_plugin.h
src/cli/cli.h:
src/include/stator.h:
src/include/stator_plugin.h:
