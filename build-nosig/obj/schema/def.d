build-nosig/obj/schema/def.o: src/schema/def.c \
 /usr/include/luajit-2.1/lauxlib.h /usr/include/luajit-2.1/lua.h \
 /usr/include/luajit-2.1/luaconf.h /usr/include/luajit-2.1/lualib.h \
 src/base/embed.h /usr/include/luajit-2.1/lua.h src/base/base.h \
 src/include/stator_plugin.h src/schema/schema.h src/base/json.h
/usr/include/luajit-2.1/lauxlib.h:
/usr/include/luajit-2.1/lua.h:
/usr/include/luajit-2.1/luaconf.h:
/usr/include/luajit-2.1/lualib.h:
src/base/embed.h:
/usr/include/luajit-2.1/lua.h:
src/base/base.h:
src/include/stator_plugin.h:
src/schema/schema.h:
src/base/json.h:
