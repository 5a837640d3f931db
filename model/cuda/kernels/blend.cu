// Tiles blended into the planes of an image: sums (models, ring of D planes, H, W, STRIDE) and the weights that they are
// divided by (ring, H, W). A thread has a voxel at a time, see voxel.cuh.
#include "channels.cuh"
#include "voxel.cuh"

// logits of a tile (d, h, w), flipped, times weights (d, h, w) and a share, into the sums of a model at (z, y, x); total, where
// it is not null, gets what they are multiplied by
extern "C" __global__ void __launch_bounds__(128, 4) add_tile(const T *logits, const float *weights, float *sums, float *total, float share, int probabilities, int classes,
    int d, int h, int w, int z0, int y0, int x0, int flip_z, int flip_y, int flip_x, int height, int width) {
  EACH(i, (i64)d * h * w) {
    int x = i % w, y = i / w % h, z = i / w / h;
    i64 from = ((i64)(flip_z ? d - 1 - z : z) * h + (flip_y ? h - 1 - y : y)) * w + (flip_x ? w - 1 - x : x);
    i64 to = ((i64)((z0 + z) % d) * height + y0 + y) * width + x0 + x;
    float weight = share * weights[i];
    Voxel v; load(logits + from * STRIDE, v);
    if (probabilities) softmax(v, classes);
    if (total) total[to] += weight;
#pragma unroll
    for (int k = 0; k < STRIDE; k += 8) {
      float sum[8]; load(sums + to * STRIDE + k, sum);
#pragma unroll
      for (int c = 0; c < 8; c++) sum[c] += weight * v.p[k + c];
      store(sums + to * STRIDE + k, sum); } } }

// the mean over models of a finished plane of area voxels; ring is the voxels of a model's sums. The label of the largest
// score, its probability and all scores (classes, area), of each what is not null.
extern "C" __global__ void __launch_bounds__(128, 4) finish(const float *sums, const float *total, int models, i64 ring, int logits, int classes, int area,
    u8 *labels, float *probability, float *scores) {
  EACH(i, area) {
    Voxel mean = {};
    float scale = 1 / total[i];
    for (int m = 0; m < models; m++) {
      Voxel v; load(sums + (m * ring + i) * STRIDE, v);
#pragma unroll
      for (int c = 0; c < STRIDE; c++) v.p[c] *= scale;
      if (logits && models > 1) softmax(v, classes);
#pragma unroll
      for (int c = 0; c < STRIDE; c++) mean.p[c] += v.p[c] / models; }
    int label = 0; float top = mean.p[0];
#pragma unroll
    for (int c = 1; c < STRIDE; c++) if (c < classes && mean.p[c] > top) { label = c; top = mean.p[c]; }
    if (scores)
#pragma unroll
      for (int c = 0; c < STRIDE; c++) if (c < classes) scores[(i64)c * area + i] = mean.p[c];
    if (labels) labels[i] = label;
    if (probability) {
      if (logits && models == 1) { softmax(mean, classes); top = 1 / mean.sum; }
      probability[i] = top; } } }
