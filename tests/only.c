/* only.c - in every cmocka program: HOSTCACHE_TEST=name has it run that test alone, or those that a
   pattern with * and ? fits. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

__attribute__((constructor)) static void run_what_is_asked_for(void) {
  cmocka_set_test_filter(getenv("HOSTCACHE_TEST"));
}
