// Loaded before the C library (LD_PRELOAD): its exp, log, pow, cos and tanh with results that are one rounding
// away, as another library's may be. scripts/golden sees with it which results depend on them.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <math.h>
#include <stddef.h>

#define SHAKEN(type, name, next, parameters, arguments)                                   \
  type name parameters {                                                                  \
    static type(*real) parameters;                                                        \
    if (real == NULL) real = (type(*) parameters)dlsym(RTLD_NEXT, #name);                 \
    const type result = real arguments;                                                   \
    return isfinite(result) && result != 0 ? next(result, 0) : result;                    \
  }
#define SHAKEN1(name)                                               \
  SHAKEN(double, name, nextafter, (double x), (x))                  \
  SHAKEN(float, name##f, nextafterf, (float x), (x))
#define SHAKEN2(name)                                               \
  SHAKEN(double, name, nextafter, (double x, double y), (x, y))     \
  SHAKEN(float, name##f, nextafterf, (float x, float y), (x, y))

SHAKEN1(exp)
SHAKEN1(exp2)
SHAKEN1(expm1)
SHAKEN1(log)
SHAKEN1(log2)
SHAKEN1(log10)
SHAKEN1(log1p)
SHAKEN1(sin)
SHAKEN1(cos)
SHAKEN1(tan)
SHAKEN1(tanh)
SHAKEN1(cbrt)
SHAKEN2(pow)
SHAKEN2(atan2)
SHAKEN2(hypot)
