/* A CUDA that only pretends: what TensorFlow asks of the driver, the runtime, cuDNN, cuBLAS, NCCL
   and NVML. Kernels do nothing, copies are done, and FAKE_LOG=FILE lists both. install.py builds
   each library out of this one file; README.md names the variables that set what it pretends. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t address; /* of device memory, which is the host's */

static int set(const char *name, int otherwise) {
  const char *text = getenv(name);
  return text ? atoi(text) : otherwise;
}

static void note(const char *format, ...) {
  static FILE *log;
  static int begun;
  if (!begun++ && getenv("FAKE_LOG") && (log = fopen(getenv("FAKE_LOG"), "a")))
    setvbuf(log, 0, _IOLBF, 0);
  if (!log) return;
  char line[512];
  va_list words;
  va_start(words, format);
  vsnprintf(line, sizeof line, format, words);
  va_end(words);
  fprintf(log, "%s\n", line);
}

static void *handle(void) { return calloc(1, 256); }

static int allocate(void **memory, size_t size) {
  if (posix_memalign(memory, 512, size)) return 2;
  memset(*memory, 0, size);
  return 0;
}

#define DONE(name) int name(void) { note("CALL " #name); return 0; }
#define MAKES_HANDLE(name) int name(void **made) { *made = handle(); return 0; }
#define LAUNCHES(name, what) int name(void) { note("LAUNCH " what); return 0; }
#define GIVES(name, type, value) int name(type *out) { *out = value; return 0; }

/* The driver: the device. */

static int num_devices(void) {
  const char *visible = getenv("CUDA_VISIBLE_DEVICES");
  return visible && !(*visible >= '0' && *visible <= '9') ? 0 : set("FAKE_COUNT", 1);
}

int cuInit(unsigned flags) { return num_devices() ? set("FAKE_CUINIT", 0) : 100; }
GIVES(cuDriverGetVersion, int, set("FAKE_DRIVER", 12080))
GIVES(cuDeviceGetCount, int, num_devices())
int cuDeviceGet(int *device, int number) { *device = number; return 0; }

int cuDeviceGetName(char *name, int size, int device) {
  const char *text = getenv("FAKE_NAME");
  snprintf(name, size, "%s", text ? text : "NVIDIA H100 80GB HBM3");
  return 0;
}

int cuDeviceGetPCIBusId(char *id, int size, int device) {
  snprintf(id, size, "0000:%02X:00.0", device + 1);
  return 0;
}

static size_t memory(void) { return (size_t)set("FAKE_MEM_MB", 4096) << 20; }
int cuDeviceTotalMem_v2(size_t *size, int device) { *size = memory(); return 0; }
int cuMemGetInfo_v2(size_t *left, size_t *total) { *left = *total = memory(); return 0; }
int cuDeviceCanAccessPeer(int *can, int a, int b) { *can = 0; return 0; }

int cuDeviceGetAttribute(int *value, int attribute, int device) {
  static const struct { int attribute, value; } of_h100[] = {
      {1, 1024}, {2, 1024}, {3, 1024}, {4, 64}, {5, 2147483647}, {6, 65535}, {7, 65535},
      {8, 49152}, {9, 65536}, {10, 32}, {11, 2147483647}, {12, 65536}, {13, 1980000}, {16, 132},
      {19, 1}, {31, 1}, {36, 2619000}, {37, 5120}, {38, 50 << 20}, {39, 2048}, {40, 3}, {41, 1},
      {78, 1}, {81, 233472}, {82, 65536}, {83, 1}, {97, 232448}, {106, 32}, {111, 1024}};
  int capability = set("FAKE_CC", 90);
  *value = attribute == 75 ? capability / 10 : attribute == 76 ? capability % 10 : 0;
  for (size_t i = 0; i < sizeof of_h100 / sizeof *of_h100; i++)
    if (of_h100[i].attribute == attribute) *value = of_h100[i].value;
  return 0;
}

static int contexts[16]; /* one for each device */
static __thread int *current;

int cuDevicePrimaryCtxRetain(void **context, int device) {
  *context = &contexts[device];
  return set("FAKE_CTX", 0);
}

int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
  return *flags = *active = 0;
}

GIVES(cuCtxGetCurrent, void *, current)
GIVES(cuCtxGetDevice, int, current ? current - contexts : 0)
int cuCtxSetCurrent(void *context) { current = context; return 0; }
int cuCtxGetStreamPriorityRange(int *least, int *greatest) { return *least = *greatest = 0; }

int cuPointerGetAttribute(int *value, int attribute, address at) {
  *value = attribute == 2 ? 2 : 0; /* of its kind and its device: memory of device 0 */
  return 0;
}

/* The driver: memory and copies. */

int cuMemAlloc_v2(address *at, size_t size) {
  static size_t total;
  size_t limit = (size_t)set("FAKE_OOM_MB", 0) << 20;
  if (limit && total + size > limit) return 2;
  total += size;
  return allocate((void **)at, size);
}

int cuMemFree_v2(address at) { free((void *)at); return 0; }
int cuMemHostAlloc(void **at, size_t size, unsigned flags) { return allocate(at, size); }
int cuMemFreeHost(void *at) { free(at); return 0; }

static int copy(const char *what, void *to, const void *from, size_t size) {
  note("%s %zu", what, size);
  memmove(to, from, size);
  return 0;
}

int cuMemcpyHtoD_v2(address to, const void *from, size_t size) {
  return copy("H2D", (void *)to, from, size);
}

int cuMemcpyDtoH_v2(void *to, address from, size_t size) {
  return copy("D2H", to, (void *)from, size);
}

int cuMemcpyDtoD_v2(address to, address from, size_t size) {
  return copy("D2D", (void *)to, (void *)from, size);
}

int cuMemcpyHtoDAsync_v2(address to, const void *from, size_t size, void *stream) {
  return copy("H2D", (void *)to, from, size);
}

int cuMemcpyDtoHAsync_v2(void *to, address from, size_t size, void *stream) {
  return copy("D2H", to, (void *)from, size);
}

int cuMemcpyDtoDAsync_v2(address to, address from, size_t size, void *stream) {
  return copy("D2D", (void *)to, (void *)from, size);
}

int cuMemsetD8Async(address to, unsigned char value, size_t count, void *stream) {
  memset((void *)to, value, count);
  return 0;
}

int cuMemsetD32Async(address to, unsigned value, size_t count, void *stream) {
  while (count) ((unsigned *)to)[--count] = value;
  return 0;
}

/* The driver: streams, events, kernels and graphs. */

MAKES_HANDLE(cuStreamCreate)
MAKES_HANDLE(cuStreamCreateWithPriority)
MAKES_HANDLE(cuEventCreate)
DONE(cuStreamDestroy_v2)
DONE(cuStreamWaitEvent)
DONE(cuEventDestroy_v2)
DONE(cuEventRecord)
int cuStreamQuery(void *stream) { return 0; }
int cuEventQuery(void *event) { return 0; }
int cuStreamIsCapturing(void *stream, int *is) { return *is = 0; }
int cuStreamSynchronize(void *stream) { note("SYNC stream"); return 0; }
int cuEventSynchronize(void *event) { note("SYNC event"); return 0; }
int cuCtxSynchronize(void) { note("SYNC context"); return 0; }
int cuLaunchHostFunc(void *stream, void (*f)(void *), void *data) { f(data); return 0; }

int cuModuleLoadData(void **module, const void *code) {
  int error = set("FAKE_MODULE", 0);
  *module = error ? 0 : handle();
  return error;
}

MAKES_HANDLE(cuModuleLoadFatBinary)

int cuModuleGetFunction(void **function, void *module, const char *name) {
  *function = module ? strdup(name) : 0;
  return module ? 0 : 400;
}

int cuModuleGetGlobal_v2(address *at, size_t *size, void *module, const char *name) {
  static char room[1 << 22] __attribute__((aligned(256)));
  *at = (address)room;
  *size = sizeof room;
  return 0;
}

DONE(cuFuncSetAttribute)

int cuFuncGetAttribute(int *value, int attribute, void *function) {
  *value = attribute == 0 ? 1024 : attribute == 4 ? 32 : 0; /* threads a block, registers */
  return 0;
}

int cuLaunchKernel(const char *name, unsigned gx, unsigned gy, unsigned gz) {
  if (!name) return 400;
  note("LAUNCH kernel %s", name);
  return 0;
}

MAKES_HANDLE(cuGraphCreate)
MAKES_HANDLE(cuGraphAddKernelNode_v2)
MAKES_HANDLE(cuGraphAddMemcpyNode)
MAKES_HANDLE(cuGraphAddMemsetNode)
MAKES_HANDLE(cuGraphAddEmptyNode)
MAKES_HANDLE(cuGraphAddChildGraphNode)
int cuGraphInstantiateWithFlags(void **graph) {
  note("GRAPH instantiate");
  *graph = handle();
  return 0;
}
int cuGraphLaunch(void *graph, void *stream) { note("GRAPH launch"); return 0; }
int cuGraphExecKernelNodeSetParams_v2(void) { note("GRAPH kernel update"); return 0; }
DONE(cuGraphExecMemcpyNodeSetParams)
DONE(cuGraphExecMemsetNodeSetParams)

static const char *error_name(int error) {
  switch (error) {
    case 0: return "CUDA_SUCCESS";
    case 2: return "CUDA_ERROR_OUT_OF_MEMORY";
    case 46: return "CUDA_ERROR_DEVICE_UNAVAILABLE";
    case 100: return "CUDA_ERROR_NO_DEVICE";
    case 209: return "CUDA_ERROR_NO_BINARY_FOR_GPU";
    case 218: return "CUDA_ERROR_INVALID_PTX";
    case 222: return "CUDA_ERROR_UNSUPPORTED_PTX_VERSION";
    case 400: return "CUDA_ERROR_INVALID_HANDLE";
    case 803: return "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH";
    default: return "CUDA_ERROR_UNKNOWN";
  }
}

int cuGetErrorName(int error, const char **text) { *text = error_name(error); return 0; }
int cuGetErrorString(int error, const char **text) { *text = error_name(error); return 0; }

/* The runtime. */

static __thread int chosen;
static struct { const void *function; const char *name; } kernels[1 << 16];
static int num_kernels;

int cudaGetDevice(int *device) { *device = chosen; return 0; }
int cudaSetDevice(int device) { chosen = device; return set("FAKE_SETDEVICE", 0); }
GIVES(cudaGetDeviceCount, int, num_devices())
GIVES(cudaDriverGetVersion, int, set("FAKE_DRIVER", 12080))
GIVES(cudaRuntimeGetVersion, int, 12090)
int cudaGetLastError(void) { return 0; }
int cudaPeekAtLastError(void) { return 0; }
const char *cudaGetErrorString(int error) { return error_name(error); }
const char *cudaGetErrorName(int error) { return error_name(error); }
int cudaFree(void *at) { free(at); return set("FAKE_SETDEVICE", 0); }
int cudaDeviceGetStreamPriorityRange(int *least, int *greatest) { return *least = *greatest = 0; }
int cudaStreamSynchronize(void *stream) { note("SYNC stream"); return 0; }

int cudaDeviceGetAttribute(int *value, int attribute, int device) {
  return cuDeviceGetAttribute(value, attribute, device);
}

/* cudaDeviceProp, as far as Eigen reads it. */
struct properties {
  char name[256], uuid[16], luid[8];
  unsigned mask;
  size_t memory, shared_a_block;
  int registers_a_block, warp;
  size_t pitch;
  int threads_a_block, block[3], grid[3], clock;
  size_t constant;
  int major, minor;
  size_t texture[2];
  int overlap, multiprocessors, skipped[64];
};

int cudaGetDeviceProperties_v2(struct properties *out, int device) {
  memset(out, 0, sizeof *out);
  out->memory = memory();
  out->shared_a_block = 49152;
  out->registers_a_block = 65536;
  out->warp = 32;
  out->threads_a_block = out->block[0] = out->block[1] = 1024;
  out->block[2] = 64;
  out->grid[0] = 2147483647;
  out->grid[1] = out->grid[2] = 65535;
  cuDeviceGetAttribute(&out->major, 75, device);
  cuDeviceGetAttribute(&out->minor, 76, device);
  out->multiprocessors = 132;
  for (int i = 0; i < 64; i++) out->skipped[i] = 2048; /* threads a multiprocessor among them */
  return 0;
}

int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *stream) {
  return copy(kind == 1 ? "H2D" : kind == 2 ? "D2H" : "D2D", to, from, size);
}

int cudaMemsetAsync(void *to, int value, size_t size, void *stream) {
  memset(to, value, size);
  return 0;
}

void **__cudaRegisterFatBinary(void *binary) { static void *none; return &none; }
DONE(__cudaRegisterFatBinaryEnd)
DONE(__cudaUnregisterFatBinary)
DONE(__cudaRegisterVar)
DONE(__cudaPushCallConfiguration)

int __cudaPopCallConfiguration(unsigned *grid, unsigned *block, size_t *shared, void **stream) {
  for (int i = 0; i < 3; i++) grid[i] = block[i] = 1;
  *shared = 0;
  *stream = 0;
  return 0;
}

int __cudaRegisterFunction(void **binary, const void *function, char *device, const char *name) {
  if (num_kernels < 1 << 16) {
    kernels[num_kernels].function = function;
    kernels[num_kernels++].name = name;
  }
  return 0;
}

int cudaLaunchKernel(const void *function) {
  int i = 0;
  while (i < num_kernels && kernels[i].function != function) i++;
  note("LAUNCH kernel %s", i < num_kernels ? kernels[i].name : "?");
  return 0;
}

int cudaGetFuncBySymbol(const void **out, const void *function) { *out = function; return 0; }

int cudaFuncGetAttributes(int *attributes, const void *function) {
  memset(attributes, 0, 128);
  attributes[6] = 1024; /* threads a block */
  return 0;
}

GIVES(cudaOccupancyMaxActiveBlocksPerMultiprocessor, int, 2)
GIVES(cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags, int, 2)

/* cuDNN. */

size_t cudnnGetVersion(void) { return set("FAKE_CUDNN", 92800); }

int cudnnGetProperty(int which, int *value) {
  int version = cudnnGetVersion();
  *value = which == 0 ? version / 10000 : which == 1 ? version / 100 % 100 : version % 100;
  return 0;
}

const char *cudnnGetErrorString(int error) { return "CUDNN_STATUS"; }
MAKES_HANDLE(cudnnCreate)
MAKES_HANDLE(cudnnCreateTensorDescriptor)
MAKES_HANDLE(cudnnCreateActivationDescriptor)
MAKES_HANDLE(cudnnCreatePoolingDescriptor)
DONE(cudnnDestroyTensorDescriptor)
DONE(cudnnDestroyActivationDescriptor)
DONE(cudnnDestroyPoolingDescriptor)
DONE(cudnnSetActivationDescriptor)
DONE(cudnnSetPoolingNdDescriptor)
DONE(cudnnSetTensorNdDescriptor)
DONE(cudnnSetStream)
DONE(cudnnGraphVersionCheck)
DONE(cudnnOpsVersionCheck)
LAUNCHES(cudnnBatchNormalizationForwardTrainingEx, "cudnn batch normalization")
LAUNCHES(cudnnBatchNormalizationBackwardEx, "cudnn batch normalization, backward")
LAUNCHES(cudnnPoolingForward, "cudnn pooling")
LAUNCHES(cudnnPoolingBackward, "cudnn pooling, backward")
LAUNCHES(cudnnBackendExecute, "cudnn graph")

int cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(
    void *a, int b, int c, void *d, void *e, void *f, void *g, void *h, size_t *size) {
  return *size = 0;
}

int cudnnGetBatchNormalizationBackwardExWorkspaceSize(
    void *a, int b, int c, void *d, void *e, void *f, void *g, void *h, void *i, void *j,
    size_t *size) {
  return *size = 0;
}

int cudnnGetBatchNormalizationTrainingExReserveSpaceSize(
    void *a, int b, int c, void *d, void *e, size_t *size) {
  return *size = 0;
}

int cudnnBackendCreateDescriptor(int kind, void **made) { *made = handle(); return 0; }
int cudnnBackendDestroyDescriptor(void *descriptor) { free(descriptor); return 0; }
int cudnnBackendFinalize(void *descriptor) { return 0; }
int cudnnBackendSetAttribute(void *descriptor) { return 0; }

int cudnnBackendGetAttribute(
    void *descriptor, int name, int type, int64_t asked, int64_t *count, void *out) {
  int is_notes = name == 302 || name == 1302, is_number = type == 3 || type == 6;
  if (is_number && out && asked > 0) memset(out, 0, 8);
  if (count) *count = is_number || (type == 15 && !is_notes);
  return 0;
}

/* cuBLAS. */

int cublasCreate_v2(void **made) { *made = handle(); return 0; }
MAKES_HANDLE(cublasLtCreate)
int cublasGetVersion_v2(void *blas, int *version) { *version = 120900; return 0; }
int cublasGetMathMode(void *blas, int *mode) { return *mode = 0; }
int cublasGetPointerMode_v2(void *blas, int *mode) { return *mode = 0; }
DONE(cublasSetMathMode)
DONE(cublasSetPointerMode_v2)
DONE(cublasSetStream_v2)
LAUNCHES(cublasSgemm_v2, "cublas product")
LAUNCHES(cublasSgemv_v2, "cublas product")
LAUNCHES(cublasGemmEx, "cublas product")
LAUNCHES(cublasGemmStridedBatchedEx, "cublas product")

/* NCCL and NVML. */

int ncclGetUniqueId(char *id) { memset(id, 7, 128); return 0; }
MAKES_HANDLE(ncclCommInitRank)
DONE(ncclGroupStart)
DONE(ncclGroupEnd)
LAUNCHES(ncclAllReduce, "nccl sum")
DONE(nvmlInit_v2)
DONE(nvmlDeviceGetHandleByPciBusId_v2)
DONE(nvmlDeviceGetCurrPcieLinkGeneration)
DONE(nvmlDeviceGetCurrPcieLinkWidth)
DONE(nvmlDeviceGetGpuFabricInfoV)
DONE(nvmlDeviceGetNvLinkState)
