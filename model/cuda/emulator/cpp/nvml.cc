// A stand-in libnvidia-ml.so.1 for the stand-in's card, which is busy for 37 percent.
#include <cstring>
extern "C" {
int nvmlInit_v2() { return 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **device) { *device = (void *)1; return strcmp(bus, "0000:01:00.0") ? 6 : 0; }
int nvmlDeviceGetUtilizationRates(void *device, unsigned *rates) { rates[0] = 37; rates[1] = 5; return device == (void *)1 ? 0 : 2; }
}
