// Tiles blended into the planes of an image: sums (models, ring of D planes, H, W, stride) and the weights that they are
// divided by (ring, H, W). A team of lanes has a voxel, see voxel.cuh.
#include "channels.cuh"
#include "voxel.cuh"

// logits of a tile (d, h, w), flipped, times weights (d, h, w) and a share, into the sums of a model at (z, y, x); total, where
// it is not null, gets what they are multiplied by
extern "C" __global__ void __launch_bounds__(128) add_tile(const T *logits, const float *weights, float *sums, float *total, float share, int probabilities, int classes, int stride, int lanes,
    int d, int h, int w, int z0, int y0, int x0, int flip_z, int flip_y, int flip_x, int height, int width) {
  Team team(lanes);
  int voxels = d * h * w;
  for (int base = blockIdx.x * team.step; base < voxels; base += gridDim.x * team.step) {
    int i = base + team.first, x = i % w, y = i / w % h, z = i / w / h;
    i64 from = ((i64)(flip_z ? d - 1 - z : z) * h + (flip_y ? h - 1 - y : y)) * w + (flip_x ? w - 1 - x : x);
    i64 to = ((i64)((z0 + z) % d) * height + y0 + y) * width + x0 + x;
    Channels v; load(logits + from * stride, team, stride, i < voxels, v);
    if (probabilities) softmax(v, team, classes);
    if (i >= voxels || team.c >= stride) continue;
    float weight = share * weights[i], sum[8];
    if (total && team.c == 0) total[to] += weight;
    load(sums + to * stride + team.c, sum);
#pragma unroll
    for (int k = 0; k < 8; k++) sum[k] += weight * v.p[k];
    store(sums + to * stride + team.c, sum); } }

// the mean over models of a finished plane of area voxels; ring is the voxels of a model's sums. The label of the largest
// score, its probability and all scores (classes, area), of each what is not null.
extern "C" __global__ void __launch_bounds__(128) finish(const float *sums, const float *total, int models, i64 ring, int logits, int classes, int stride, int lanes, int area,
    u8 *labels, float *probability, float *scores) {
  Team team(lanes);
  for (int base = blockIdx.x * team.step; base < area; base += gridDim.x * team.step) {
    int i = base + team.first;
    Channels mean = {};
    float scale = i < area ? 1 / total[i] : 0;
    for (int m = 0; m < models; m++) {
      Channels v; load(sums + (m * ring + i) * stride, team, stride, i < area, v);
#pragma unroll
      for (int k = 0; k < 8; k++) v.p[k] *= scale;
      if (logits && models > 1) softmax(v, team, classes);
#pragma unroll
      for (int k = 0; k < 8; k++) mean.p[k] += v.p[k] / models; }
    int label = classes; float top = -3e38f;
#pragma unroll
    for (int k = 0; k < 8; k++) if (team.c + k < classes && (mean.p[k] > top || label == classes)) { label = team.c + k; top = mean.p[k]; }
    for (int o = lanes / 2; o; o /= 2) { // the lower class where scores are equal
      float other = __shfl_xor_sync(0xffffffffu, top, o); int name = __shfl_xor_sync(0xffffffffu, label, o);
      if (other > top || (other == top && name < label)) { top = other; label = name; } }
    if (i < area && scores)
#pragma unroll
      for (int k = 0; k < 8; k++) if (team.c + k < classes) scores[(i64)(team.c + k) * area + i] = mean.p[k];
    if (probability && logits && models == 1) { softmax(mean, team, classes); top = 1 / mean.sum; }
    if (i >= area || team.c) continue;
    if (labels) labels[i] = label;
    if (probability) probability[i] = top; } }
