/* The C interface of a driver with one GPU that has no memory to give: every call of cuda_driver, and no more. */
#include <stdio.h>
#include <string.h>

int cuInit(unsigned flags) { return flags != 0; }
int cuDriverGetVersion(int *version) { *version = 12080; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int index) { *device = index; return index != 0; }
int cuDeviceGetName(char *name, int length, int device) { snprintf(name, length, "Fake GPU"); return device; }
int cuDeviceGetAttribute(int *value, int attribute, int device) { *value = attribute == 75 ? 8 : 9; return device; }
int cuDevicePrimaryCtxRetain(void **context, int device) { *context = 0; return device; }
int cuDevicePrimaryCtxRelease_v2(int device) { return device; }
int cuCtxPushCurrent_v2(void *context) { return context != 0; }
int cuCtxPopCurrent_v2(void **context) { *context = 0; return 0; }
int cuMemGetInfo_v2(size_t *free, size_t *total) { *free = (size_t)600 << 20; *total = (size_t)8 << 30; return 0; }
