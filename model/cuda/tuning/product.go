package tuning

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

// SplitPlanes is how many planes of a tile a block should go through at the least.
const SplitPlanes = 4

// Product is how a weight gradient is shared out among warps and blocks, see
// grad_mma.cu.
type Product struct {
	Width  int    // of a product's 16 voxels: 16 or 8; the table has it for 16
	Rows   int    // of voxels of a warp, in each of its 16/Width bands
	Warps  [3]int // of a block and plane, over channels of both operands and over the height
	Blocks int    // for so many on a multiprocessor there must be registers
}

// Threads are a block's.
func (p Product) Threads(taps [3]int) int { return 32 * taps[0] * p.Warps[0] * p.Warps[1] * p.Warps[2] }

// Tiles is how many tiles cover a grid (D, H, W), each for all of its depth.
func (p Product) Tiles(grid [3]int) int {
	return (grid[1] + p.height() - 1) / p.height() * ((grid[2] + p.Width - 1) / p.Width)
}

func (p Product) height() int { return p.Warps[2] * p.Rows * (16 / p.Width) }

// Shared is how many bytes of shared memory a block takes, as grad_mma.cu lays them out.
func (p Product) Shared(taps, stride [3]int) int {
	padded := func(n, groups int) int { return n + (8/groups+8-n%8)%8 }
	groupsA, groupsB := 2*p.Warps[0], 2*p.Warps[1]
	columns := (p.Width-1)*stride[2] + taps[2]
	planeA := padded(p.height()*p.Width, groupsA)
	planeB := padded(((p.height()-1)*stride[1]+taps[1])*((columns+stride[2]-1)/stride[2]*stride[2]), groupsB)
	return 16 * (2*groupsA*planeA + (taps[0]+min(taps[0], stride[0]))*groupsB*planeB)
}

// Defines are the constants of grad_mma.cu but for its bias and whether it is the first.
func (p Product) Defines(taps, stride [3]int) string {
	return fmt.Sprintf("KD=%d KH=%d KW=%d SH=%d SW=%d MW=%d ROWS=%d WARPS_M=%d WARPS_N=%d WARPS_V=%d BLOCKS=%d",
		taps[0], taps[1], taps[2], stride[1], stride[2], p.Width, p.Rows, p.Warps[0], p.Warps[1], p.Warps[2], p.Blocks)
}

// Narrow has two bands of half the rows, of half the width.
func (p Product) Narrow() Product {
	p.Width, p.Rows = 8, (p.Rows+1)/2
	return p
}

// Wide has warps for so many channels of the strided operand, rather than for the height.
func (p Product) Wide(channels int) Product {
	for 16*p.Warps[1] < channels && p.Warps[2]%2 == 0 {
		p.Warps[1], p.Warps[2] = 2*p.Warps[1], p.Warps[2]/2
	}
	return p
}

// ProductRule gives a Product to weight gradients; the first that fits is taken.
type ProductRule struct {
	Kernel, Stride [3]int // at the most
	Channels       int    // of the operand that is not strided at the most, 0 for any
	Product        Product
}

//go:embed product.json
var productTable []byte

var productRules = func() (rules []ProductRule) {
	if err := json.Unmarshal(productTable, &rules); err != nil {
		panic(fmt.Sprintf("tuning: product.json: %v", err))
	}
	return rules
}()

// WeightGrad returns the Product of a weight gradient with these taps and stride, the
// channels of both operands, and the grid (D, H, W) of the one that is not strided, or
// false where the table has none.
func WeightGrad(taps, stride [3]int, channels [2]int, grid [3]int) (Product, bool) {
	r, ok := WeightGradRule(taps, stride, channels, grid)
	return r.product(channels[1], grid[2]), ok
}

// WeightGradRule returns the rule by which WeightGrad chooses.
func WeightGradRule(taps, stride [3]int, channels [2]int, grid [3]int) (ProductRule, bool) {
	for _, r := range productRules {
		limits := Rule{Kernel: r.Kernel, Stride: r.Stride, Channels: r.Channels}
		if limits.fits(taps, stride, channels[0], grid[2]) && r.product(channels[1], grid[2]).Shared(taps, stride) <= MostShared {
			return r, true
		}
	}
	return ProductRule{}, false
}

// product is the rule's for so many channels of the strided operand and voxels of width.
func (r ProductRule) product(channels, width int) Product {
	p := r.Product.Wide(channels)
	if (width+7)/8%2 == 1 { // 16 wide, half of the last product would be idle
		p = p.Narrow()
	}
	return p
}

// ProductRules returns the table.
func ProductRules() []ProductRule { return productRules }

// UseProducts puts another table in its place, for those who measure.
func UseProducts(rules []ProductRule) { productRules = rules }
