build-nosig/spec-obj/base/embed.o: src/base/embed.c \
 /usr/include/luajit-2.1/lauxlib.h /usr/include/luajit-2.1/lua.h \
 /usr/include/luajit-2.1/luaconf.h src/base/embed.h \
 /usr/include/luajit-2.1/lua.h src/base/base.h \
 src/include/stator_plugin.h
/usr/include/luajit-2.1/lauxlib.h:
/usr/include/luajit-2.1/lua.h:
/usr/include/luajit-2.1/luaconf.h:
src/base/embed.h:
/usr/include/luajit-2.1/lua.h:
src/base/base.h:
src/include/stator_plugin.h:
