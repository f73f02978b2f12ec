// Compiles pipeline/liveportrait/cuda/pixels.cu as plain C++; the threads of a launch run one after another.

#include <cmath>
#include <cstring>

#define __global__
#define __device__ static inline

struct Dim {
    int x, y, z;
};

static thread_local Dim gridDim, blockDim, blockIdx, threadIdx;

static inline float __uint_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

#include "pixels.cu"

template <class Kernel>
static void each_thread(const int64* grid, const int64* block, Kernel kernel) {
    gridDim = {(int)grid[0], (int)grid[1], (int)grid[2]};
    blockDim = {(int)block[0], (int)block[1], (int)block[2]};
    for (blockIdx.z = 0; blockIdx.z < gridDim.z; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++)
                for (threadIdx.y = 0; threadIdx.y < blockDim.y; threadIdx.y++)
                    for (threadIdx.x = 0; threadIdx.x < blockDim.x; threadIdx.x++) kernel();
}

extern "C" void run_upload_crops(const int64* grid, const int64* block, const int64* a) {
    each_thread(grid, block, [=] { upload_crops((const byte*)a[0], (float*)a[1]); });
}

extern "C" void run_compose(const int64* grid, const int64* block, const int64* a) {
    each_thread(grid, block, [=] { compose((const Finish*)a[0], (byte*)a[1], a[2], a[3], a[4], a[5], a[6], a[7]); });
}
