#include <stddef.h>
#include <valgrind/memcheck.h>

/* 1 where valgrind's memcheck follows these bytes from now on as undefined, else 0. */
int make_undefined(void *bytes, size_t len) {
  return VALGRIND_MAKE_MEM_UNDEFINED(bytes, len) != 0;
}
