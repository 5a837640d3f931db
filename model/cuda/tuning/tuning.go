// Package tuning holds the numbers that make kernels fast and never change what they
// compute: tables that a person or a command may edit. None of them has been measured
// on a card yet.
package tuning

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

const (
	// Blocks is how many blocks a launch should have to fill a card.
	Blocks = 264
	// SplitChunks is how many chunks of 16 channels a block should have at the least
	// where a small convolution is split over its input channels.
	SplitChunks = 4
)

// Tile is how a convolution is shared out among warps and blocks, see conv_mma.cu.
type Tile struct {
	Width  int    // of a product's 16 voxels: 16, 8 or 4
	Rows   int    // products of a warp along the height
	Tiles  int    // of 8 output channels of a warp: 2, 4 or 8
	Warps  [3]int // of a block along depth, height and output channels
	Blocks int    // for so many on a multiprocessor there must be registers
}

// Depth is the depth of a block's output voxels.
func (t Tile) Depth() int { return t.Warps[0] * 16 / t.Width }

// Height is the height of a block's output voxels.
func (t Tile) Height() int { return t.Warps[1] * t.Rows }

// Grid is how many tiles cover a grid (D, H, W).
func (t Tile) Grid(grid [3]int) [3]int {
	return [3]int{(grid[0] + t.Depth() - 1) / t.Depth(), (grid[1] + t.Height() - 1) / t.Height(), (grid[2] + t.Width - 1) / t.Width}
}

// Columns are a block's output channels.
func (t Tile) Columns() int { return t.Warps[2] * t.Tiles * 8 }

// Threads are a block's.
func (t Tile) Threads() int { return 32 * t.Warps[0] * t.Warps[1] * t.Warps[2] }

// MostShared is what a block may have of shared memory on any card since sm_80, in bytes.
const MostShared = 99 << 10

// StageBytes are what a stage of conv_mma.cu keeps of a voxel: 16 channels of 2 bytes.
const StageBytes = 32

// Shared is how many bytes of it a block takes that keeps so many of each voxel of its
// input, as conv_mma.cu lays them out, and exchanges moments.
func (t Tile) Shared(taps, stride [3]int, voxelBytes int) int {
	padded := func(n int) int { return (n+3)/8*8 + 4 }
	columns := (t.Width-1)*stride[2] + taps[2]
	plane := ((t.Height()-1)*stride[1] + taps[1]) * ((columns + stride[2] - 1) / stride[2] * stride[2])
	if t.Width < 8 {
		plane = padded(plane)
	}
	half := padded(((t.Depth()-1)*stride[0] + taps[0]) * plane)
	return max(voxelBytes*half, t.Threads()*t.Tiles)
}

// Defines are the constants of conv_mma.cu.
func (t Tile) Defines(taps, stride [3]int) string {
	return fmt.Sprintf("KH=%d KW=%d SH=%d SW=%d MW=%d ROWS=%d TILES=%d WARPS_D=%d WARPS_H=%d WARPS_N=%d BLOCKS=%d",
		taps[1], taps[2], stride[1], stride[2], t.Width, t.Rows, t.Tiles, t.Warps[0], t.Warps[1], t.Warps[2], t.Blocks)
}

// Rule gives a tile to convolutions; the first that fits is taken.
type Rule struct {
	Kernel, Stride [3]int // at the most
	Channels       int    // of the output at the most, 0 for any
	Width          int    // of the output at the least
	Tile           Tile
}

//go:embed conv.json
var convTable []byte

var convRules = func() (rules []Rule) {
	if err := json.Unmarshal(convTable, &rules); err != nil {
		panic(fmt.Sprintf("tuning: conv.json: %v", err))
	}
	return rules
}()

// Conv returns the tile of a convolution with these taps, stride, output channels and
// output grid (D, H, W), or false where the table has none.
func Conv(taps, stride [3]int, channels int, grid [3]int) (Tile, bool) {
	for _, r := range convRules {
		if r.fits(taps, stride, channels, grid[2]) && r.Tile.Shared(taps, stride, 2*StageBytes) <= MostShared {
			return r.Tile, true
		}
	}
	return Tile{}, false
}

// Rules returns the table.
func Rules() []Rule { return convRules }

// Use puts another table in its place, for those who measure.
func Use(rules []Rule) { convRules = rules }

func (r Rule) fits(taps, stride [3]int, channels, width int) bool {
	for a := range 3 {
		if taps[a] > r.Kernel[a] || stride[a] > r.Stride[a] {
			return false
		}
	}
	return (r.Channels == 0 || channels <= r.Channels) && width >= r.Width
}
