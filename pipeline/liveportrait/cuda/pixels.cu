// The two kernels between pictures and LivePortrait's networks: `upload_crops` on the way in, `compose` on the way out.
// HostPixels in pipeline/liveportrait/pixels.py is the reference; pipeline/liveportrait/cuda/pixels.py fills the tables.
// Sides and places are in pixels, whose centres are at whole numbers; colours are 0..255. A matrix is the upper two
// rows of an affine map. Every argument has 64 bits.

typedef unsigned char byte;
typedef long long int64;

const int SIDE = 512;     // of a crop
const int FEATHER = 16;   // pixels at the crop's edge over which it fades into the portrait
const float CUBIC = -0.75f;

struct Colour {
    float red, green, blue;
};

struct Point {
    float x, y;
};

__device__ Point mapped(const float* matrix, int x, int y) {
    return {matrix[0] * x + matrix[1] * y + matrix[2], matrix[3] * x + matrix[4] * y + matrix[5]};
}

__device__ int inside(int value, int low, int high) {
    return value < low ? low : value > high ? high : value;
}

// ITU-R BT.601 in limited range, the coefficients to three digits in units of 2^-20, as OpenCV has them.

__device__ float level(int fixed) {
    return (float)inside((fixed + (1 << 19)) >> 20, 0, 255);
}

__device__ Colour rgb(int y, int u, int v) {
    y = (y < 16 ? 0 : y - 16) * 1220542;
    u -= 128;
    v -= 128;
    return {level(y + 1673527 * v), level(y - 409993 * u - 852492 * v), level(y + 2116026 * u)};
}

__device__ byte luma(int red, int green, int blue) {
    return (byte)((269484 * red + 528482 * green + 102760 * blue + (16 << 20) + (1 << 19)) >> 20);
}

__device__ byte chroma_blue(int red, int green, int blue) {
    return (byte)((-155188 * red - 305135 * green + 460324 * blue + (128 << 20) + (1 << 19)) >> 20);
}

__device__ byte chroma_red(int red, int green, int blue) {
    return (byte)((460324 * red - 385875 * green - 74448 * blue + (128 << 20) + (1 << 19)) >> 20);
}

// The way in.

struct CropRequest {
    int64 pixels;     // where they start in the slot: I420 planes or packed RGB
    float matrix[6];  // from the crop to the picture
    int width, height, planar, unused;
};

__device__ Colour pixel(const CropRequest& view, const byte* pixels, int x, int y) {
    if (x < 0 || y < 0 || x >= view.width || y >= view.height) return {0, 0, 0};
    if (!view.planar) {
        const byte* at = pixels + 3 * ((int64)y * view.width + x);
        return {(float)at[0], (float)at[1], (float)at[2]};
    }
    const byte* blue = pixels + (int64)view.width * view.height;
    const byte* red = blue + (int64)view.width * view.height / 4;
    int chroma = y / 2 * (view.width / 2) + x / 2;
    return rgb(pixels[(int64)y * view.width + x], blue[chroma], red[chroma]);
}

__device__ float blend(float a, float b, float c, float d, float x, float y) {
    return (a * (1 - x) + b * x) * (1 - y) + (c * (1 - x) + d * x) * y;
}

__device__ Colour sampled(const CropRequest& view, const byte* pixels, int x, int y) {
    Point at = mapped(view.matrix, x, y);
    float left = floorf(at.x), top = floorf(at.y), right = at.x - left, down = at.y - top;
    int column = (int)left, row = (int)top;
    Colour a = pixel(view, pixels, column, row), b = pixel(view, pixels, column + 1, row);
    Colour c = pixel(view, pixels, column, row + 1), d = pixel(view, pixels, column + 1, row + 1);
    return {rintf(blend(a.red, b.red, c.red, d.red, right, down)),
            rintf(blend(a.green, b.green, c.green, d.green, right, down)),
            rintf(blend(a.blue, b.blue, c.blue, d.blue, right, down))};
}

__device__ float mean(float a, float b, float c, float d) {
    return floorf((a + b + c + d + 2) / 4) / 255;
}

// One thread for each pixel of the networks' input (requests, 3, 256, 256), the mean of 2x2 pixels of the crop.
// `slot` starts with a CropRequest for each.
extern "C" __global__ void upload_crops(const byte* slot, float* inputs) {
    const CropRequest& view = ((const CropRequest*)slot)[blockIdx.z];
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    const byte* pixels = slot + view.pixels;
    Colour a = sampled(view, pixels, 2 * x, 2 * y), b = sampled(view, pixels, 2 * x + 1, 2 * y);
    Colour c = sampled(view, pixels, 2 * x, 2 * y + 1), d = sampled(view, pixels, 2 * x + 1, 2 * y + 1);
    const int plane = SIDE * SIDE / 4;
    float* input = inputs + (int64)blockIdx.z * 3 * plane + y * (SIDE / 2) + x;
    input[0] = mean(a.red, b.red, c.red, d.red);
    input[plane] = mean(a.green, b.green, c.green, d.green);
    input[2 * plane] = mean(a.blue, b.blue, c.blue, d.blue);
}

// The way out.

struct Finish {
    const void* crop;      // (3, 512, 512) about 0..1
    const byte* portrait;  // (height, width, 3) RGB, into which the crop is pasted; null: the crop alone
    const float* light;    // the badge: what it leaves of the picture, 0..1, then the light that it adds; null: none
    int64 picture;         // where it starts in the slot
    float matrix[6];       // from the portrait to the crop
    int width, height;     // of the picture
    int label_left, label_top, label_width, label_height;
    int mirror, unused;
};

struct Crop {
    const void* numbers;
    int64 type;  // of numbers: 0 float32, 1 float16, 2 bfloat16
    int64 channel, row, column;  // strides
};

__device__ float half(unsigned bits) {
    unsigned magnitude = (bits & 0x7fff) << 13, sign = (bits & 0x8000) << 16;
    if (magnitude >= 0x7c00 << 13) return __uint_as_float(sign | 0x7f800000 | magnitude);
    return __uint_as_float(sign | magnitude) * 5.192296858534828e33f;  // 2^112, between the two biases
}

__device__ float number(const Crop& crop, int channel, int x, int y) {
    int64 index = channel * crop.channel + y * crop.row + x * crop.column;
    if (crop.type == 0) return ((const float*)crop.numbers)[index];
    unsigned bits = ((const unsigned short*)crop.numbers)[index];
    return crop.type == 1 ? half(bits) : __uint_as_float(bits << 16);
}

__device__ float drawn(const Crop& crop, int channel, int x, int y) {
    return floorf(fminf(fmaxf(number(crop, channel, x, y), 0), 1) * 255);
}

__device__ bool all_finite(const Crop& crop, int first, int step) {
    bool finite = true;
    for (int index = first; index < 3 * SIDE * SIDE; index += step)
        finite &= fabsf(number(crop, index / (SIDE * SIDE), index % SIDE, index / SIDE % SIDE)) <= 3.4028235e38f;
    return finite;
}

__device__ bool within(int x, int y) {
    return x >= 0 && y >= 0 && x < SIDE && y < SIDE;
}

// How much of the crop shows at one of its pixels: nothing outside, all inside, round at the corners.
__device__ float feather(int x, int y) {
    if (!within(x, y)) return 0;
    float across = fmaxf(FEATHER - x, x - (SIDE - FEATHER)), down = fmaxf(FEATHER - y, y - (SIDE - FEATHER));
    across = fmaxf(across, 0);
    down = fmaxf(down, 0);
    return floorf(255 * fmaxf(1 - sqrtf(across * across + down * down) / FEATHER, 0));
}

__device__ float drawn_or_black(const Crop& crop, int channel, int x, int y) {
    return within(x, y) ? drawn(crop, channel, x, y) : 0;
}

__device__ float pasted(int kept, const Crop& crop, int channel, int x, int y, float right, float down, byte under) {
    float over = rintf(blend(drawn_or_black(crop, channel, x, y), drawn_or_black(crop, channel, x + 1, y),
                             drawn_or_black(crop, channel, x, y + 1), drawn_or_black(crop, channel, x + 1, y + 1),
                             right, down));
    return (float)((kept * (int)over + (255 - kept) * under) / 255);
}

__device__ Colour in_portrait(const Finish& finish, const Crop& crop, int x, int y) {
    const byte* under = finish.portrait + 3 * ((int64)y * finish.width + x);
    Point at = mapped(finish.matrix, x, y);
    float left = floorf(at.x), top = floorf(at.y), right = at.x - left, down = at.y - top;
    if (!(left >= -1 && top >= -1 && left < SIDE && top < SIDE))
        return {(float)under[0], (float)under[1], (float)under[2]};
    int column = (int)left, row = (int)top;
    int kept = (int)rintf(blend(feather(column, row), feather(column + 1, row), feather(column, row + 1),
                                feather(column + 1, row + 1), right, down));
    return {pasted(kept, crop, 0, column, row, right, down, under[0]),
            pasted(kept, crop, 1, column, row, right, down, under[1]),
            pasted(kept, crop, 2, column, row, right, down, under[2])};
}

// A smaller crop: the mean over the area that a pixel covers.
__device__ float shrunk(const Crop& crop, int channel, int x, int y, float scale) {
    float left = x * scale, top = y * scale, right = fminf(left + scale, SIDE), bottom = fminf(top + scale, SIDE);
    float sum = 0;
#pragma unroll 1
    for (int row = (int)top; row < bottom; row++)
#pragma unroll 1
        for (int column = (int)left; column < right; column++)
            sum += (fminf(row + 1, bottom) - fmaxf(row, top)) * (fminf(column + 1, right) - fmaxf(column, left))
                   * drawn(crop, channel, column, row);
    return floorf(sum / ((right - left) * (bottom - top)) + 0.5f);
}

__device__ void cubic(float part, float* weights) {
    float before = part + 1, after = 1 - part;
    weights[0] = ((CUBIC * before - 5 * CUBIC) * before + 8 * CUBIC) * before - 4 * CUBIC;
    weights[1] = ((CUBIC + 2) * part - (CUBIC + 3)) * part * part + 1;
    weights[2] = ((CUBIC + 2) * after - (CUBIC + 3)) * after * after + 1;
    weights[3] = 1 - weights[0] - weights[1] - weights[2];
}

// A larger crop: bicubic, its edge repeated.
__device__ float grown(const Crop& crop, int channel, int x, int y, float scale) {
    float at_x = (x + 0.5f) * scale - 0.5f, at_y = (y + 0.5f) * scale - 0.5f;
    float left = floorf(at_x), top = floorf(at_y), across[4], down[4], sum = 0;
    cubic(at_x - left, across);
    cubic(at_y - top, down);
#pragma unroll 1
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            sum += down[i] * across[j]
                   * drawn(crop, channel, inside((int)left - 1 + j, 0, SIDE - 1), inside((int)top - 1 + i, 0, SIDE - 1));
    return fminf(fmaxf(rintf(sum), 0), 255);
}

__device__ float resized(const Crop& crop, int channel, int x, int y, int side) {
    if (side == SIDE) return drawn(crop, channel, x, y);
    float scale = (float)SIDE / side;
    return side < SIDE ? shrunk(crop, channel, x, y, scale) : grown(crop, channel, x, y, scale);
}

__device__ Colour labelled(const Finish& finish, Colour colour, int x, int y) {
    x -= finish.label_left;
    y -= finish.label_top;
    if (!finish.light || x < 0 || y < 0 || x >= finish.label_width || y >= finish.label_height) return colour;
    const float* veil = finish.light + y * finish.label_width + x;
    float kept = veil[0], light = veil[finish.label_width * finish.label_height];
    return {colour.red * kept + light, colour.green * kept + light, colour.blue * kept + light};
}

__device__ Colour finished(const Finish& finish, const Crop& crop, int x, int y) {
    int from = finish.mirror ? finish.width - 1 - x : x;
    Colour colour = finish.portrait ? in_portrait(finish, crop, from, y)
                                    : Colour{resized(crop, 0, from, y, finish.width),
                                             resized(crop, 1, from, y, finish.width),
                                             resized(crop, 2, from, y, finish.width)};
    return labelled(finish, colour, x, y);
}

// One of four pixels gives their colour, as in OpenCV.
__device__ void write_planes(byte* picture, int width, int height, int x, int y, int red, int green, int blue) {
    picture[(int64)y * width + x] = luma(red, green, blue);
    if (x % 2 || y % 2) return;
    byte* chroma = picture + (int64)width * height + (int64)y / 2 * (width / 2) + x / 2;
    chroma[0] = chroma_blue(red, green, blue);
    chroma[(int64)width * height / 4] = chroma_red(red, green, blue);
}

// One thread for each pixel of a picture. If a crop has numbers that are not finite, the first word of `slot` becomes
// the number of this call, so that nothing has to be cleared before.
extern "C" __global__ void compose(const Finish* finishes, byte* slot, int64 type, int64 channel, int64 row,
                                   int64 column, int64 planar, int64 call) {
    const Finish& finish = finishes[blockIdx.z];
    Crop crop = {finish.crop, type, channel, row, column};
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    int across = gridDim.x * blockDim.x, down = gridDim.y * blockDim.y;
    if (!all_finite(crop, y * across + x, across * down)) *(int64*)slot = call;
    int width = planar ? finish.width & ~1 : finish.width, height = planar ? finish.height & ~1 : finish.height;
    if (x >= width || y >= height) return;
    Colour colour = finished(finish, crop, x, y);
    byte* picture = slot + finish.picture;
    if (planar) return write_planes(picture, width, height, x, y, (int)colour.red, (int)colour.green, (int)colour.blue);
    byte* at = picture + 3 * ((int64)y * width + x);
    at[0] = (byte)colour.red;
    at[1] = (byte)colour.green;
    at[2] = (byte)colour.blue;
}
