package cuda

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"noisystudent/model/cuda/driver"
	"noisystudent/model/device"
	"noisystudent/model/program"
)

var _ device.Blender = &loaded{}

// blended is a device.Blended in the card's memory; see kernels/blend.cu.
type blended struct {
	device.Blend
	l       *loaded
	logits  driver.Pointer
	classes int
	tile    [3]int

	sums, total, weights        driver.Pointer
	labels, probability, scores driver.Pointer // of a plane; scores is taken when it is first wanted
	locked                      []byte         // page-locked, a float32 for each voxel of a plane
}

// Blend implements device.Blender. Where the card has too little memory, the error is a
// *driver.MemoryError.
func (l *loaded) Blend(logits program.ID, b device.Blend) (device.Blended, error) {
	if err := b.Check(l.p, logits); err != nil {
		return nil, fmt.Errorf("cuda: blend: %w", err)
	}
	s := l.p.Buffers[logits].Shape
	out := &blended{Blend: b, l: l, logits: l.at(logits), classes: s[1], tile: [3]int(s[2:])}
	if err := out.take(); err != nil {
		return nil, errors.Join(fmt.Errorf("cuda: blend: %w", err), out.Close())
	}
	return out, nil
}

func (b *blended) area() int { return b.Size[0] * b.Size[1] }

// ring is how many voxels there are sums of, for each model.
func (b *blended) ring() int { return b.tile[0] * b.area() }

func (b *blended) voxelBytes() int64 { return int64(4 * stride(b.classes)) }

// piece is memory of the card.
type piece struct {
	at    *driver.Pointer
	bytes int64
}

// pieces lists what is taken.
func (b *blended) pieces() []piece {
	ring, area := int64(b.ring()), int64(b.area())
	list := []piece{
		{&b.sums, int64(b.Models) * ring * b.voxelBytes()},
		{&b.total, 4 * ring},
		{&b.weights, 4 * int64(volume(b.tile))},
		{&b.labels, area},
		{&b.probability, 4 * area},
	}
	if b.Blend.Scores {
		list = append(list, piece{&b.scores, 4 * int64(b.classes) * area})
	}
	return list
}

func (b *blended) bytes() (sum int64) {
	for _, p := range b.pieces() {
		sum += aligned(p.bytes)
	}
	return sum
}

// BlendBytes returns the bytes of a card that blending tiles (D, H, W) of so many classes
// takes beside their program. Weights of b are not looked at.
func (d *Device) BlendBytes(classes int, tile [3]int, b device.Blend) int64 {
	return (&blended{Blend: b, classes: classes, tile: tile}).bytes()
}

// take takes all memory, or nothing of the card's.
func (b *blended) take() (err error) {
	admission.Lock()
	defer admission.Unlock()
	context, stream := b.l.d.context, b.l.d.stream
	free, total, err := context.Memory()
	if err != nil {
		return err
	}
	if want := b.bytes(); want > free {
		return &driver.MemoryError{Want: want, Free: free, Total: total}
	}
	ring := int64(b.ring())
	for _, p := range b.pieces() {
		if *p.at, err = context.Alloc(aligned(p.bytes)); err != nil {
			return err
		}
	}
	if b.locked, err = context.AllocHost(4 * max(b.area(), len(b.Weights))); err != nil {
		return err
	}
	for i, v := range b.Weights {
		binary.LittleEndian.PutUint32(b.locked[4*i:], math.Float32bits(v))
	}
	return errors.Join(
		stream.Fill(b.sums, 0, int64(b.Models)*ring*b.voxelBytes()/4),
		stream.Fill(b.total, 0, ring),
		stream.Upload(b.weights, b.locked[:4*len(b.Weights)]),
		stream.Sync())
}

// launch runs a kernel that strides over n voxels.
func (b *blended) launch(name string, n int, args ...any) error {
	w := &lowering{l: b.l}
	w.launch("blend", "", name, [3]int{min(ceilDiv(n*team(b.classes), threads128[0]), 8192), 1, 1}, threads128, 0, args...)
	return w.now()
}

// Add implements device.Blended.
func (b *blended) Add(model int, at [3]int, flipped [3]bool, share float32) error {
	if err := b.CheckAdd(b.tile, model, at); err != nil {
		return fmt.Errorf("cuda: blend: %w", err)
	}
	total := b.total
	if model > 0 {
		total = 0
	}
	args := []any{b.logits, b.weights, b.sums + driver.Pointer(int64(model*b.ring())*b.voxelBytes()), total, share, truth(b.Softmax), int32(b.classes), int32(stride(b.classes)), int32(team(b.classes))}
	for a := range b.tile {
		args = append(args, int32(b.tile[a]))
	}
	for a := range at {
		args = append(args, int32(at[a]))
	}
	for a := range flipped {
		args = append(args, truth(flipped[a]))
	}
	return b.launch("add_tile", len(b.Weights), append(args, int32(b.Size[0]), int32(b.Size[1]))...)
}

// finish computes plane z into what is not 0.
func (b *blended) finish(z int, labels, probability, scores driver.Pointer) error {
	first := z % b.tile[0] * b.area()
	return b.launch("finish", b.area(), b.sums+driver.Pointer(int64(first)*b.voxelBytes()), b.total+driver.Pointer(4*first),
		int32(b.Models), int64(b.ring()), truth(!b.Softmax), int32(b.classes), int32(stride(b.classes)), int32(team(b.classes)), int32(b.area()), labels, probability, scores)
}

// Labels implements device.Blended.
func (b *blended) Labels(z int, labels []uint8, probability []float32) error {
	if err := errors.Join(b.CheckPlane(z, 1, len(labels)), b.CheckPlane(z, 1, len(probability))); err != nil {
		return fmt.Errorf("cuda: blend: labels: %w", err)
	}
	if err := b.finish(z, b.labels, b.probability, 0); err != nil {
		return err
	}
	if err := b.download(b.labels, len(labels)); err != nil {
		return err
	}
	copy(labels, b.locked)
	return b.floats(probability, b.probability)
}

// Scores implements device.Blended.
func (b *blended) Scores(z int, scores []float32) (err error) {
	if err := b.CheckPlane(z, b.classes, len(scores)); err != nil {
		return fmt.Errorf("cuda: blend: scores: %w", err)
	}
	if b.scores == 0 {
		if b.scores, err = b.l.d.context.Alloc(aligned(int64(4 * len(scores)))); err != nil {
			return fmt.Errorf("cuda: blend: scores: %w", err)
		}
	}
	if err := b.finish(z, 0, 0, b.scores); err != nil {
		return err
	}
	for c := range b.classes {
		if err := b.floats(scores[c*b.area():][:b.area()], b.scores+driver.Pointer(4*c*b.area())); err != nil {
			return err
		}
	}
	return nil
}

// download copies to page-locked memory.
func (b *blended) download(from driver.Pointer, bytes int) error {
	return errors.Join(b.l.d.stream.Download(b.locked[:bytes], from), b.l.d.stream.Sync())
}

func (b *blended) floats(dst []float32, from driver.Pointer) error {
	if err := b.download(from, 4*len(dst)); err != nil {
		return err
	}
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(b.locked[4*i:]))
	}
	return nil
}

// Clear implements device.Blended.
func (b *blended) Clear(z int) error {
	first, plane := int64(z%b.tile[0]*b.area()), int64(b.area())
	errs := []error{b.l.d.stream.Fill(b.total+driver.Pointer(4*first), 0, plane)}
	for m := range b.Models {
		at := (int64(m*b.ring()) + first) * b.voxelBytes()
		errs = append(errs, b.l.d.stream.Fill(b.sums+driver.Pointer(at), 0, plane*b.voxelBytes()/4))
	}
	return errors.Join(errs...)
}

// Close implements device.Blended.
func (b *blended) Close() error {
	errs := []error{b.l.d.stream.Sync()}
	for _, p := range []*driver.Pointer{&b.sums, &b.total, &b.weights, &b.labels, &b.probability, &b.scores} {
		if *p != 0 {
			errs = append(errs, b.l.d.context.Free(*p))
			*p = 0
		}
	}
	if b.locked != nil {
		errs = append(errs, b.l.d.context.FreeHost(b.locked))
		b.locked = nil
	}
	return errors.Join(errs...)
}
