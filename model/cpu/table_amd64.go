//go:build amd64 && !noasm

package cpu

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

//go:generate sh -c "cd _asm && for set in avx512 bf16; do go run . -set $DOLLAR{set} -sources . -out ../kernels_$DOLLAR{set}_amd64.s -go ../kernels_$DOLLAR{set}_amd64.go; done"

// nativeTables lists the assembly that this CPU and operating system run. The
// checks of x/sys/cpu include that the system saves the registers.
func nativeTables() []*table {
	x := cpu.X86
	if x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL {
		t := avx512Table()
		if x.HasAVX512BF16 {
			t.half = bf16Table()
		}
		return []*table{t}
	}
	return nil
}

func avx512Table() *table {
	return &table{
		name: "avx512",
		conv: convAVX512,
		wgrad: gradKernels{
			{{8, gradWideV1C8}, {4, gradWideV2C4}},
			{{16, gradPointV1C16}, {8, gradPointV2C8}},
		},
		pack: packAVX512, transpose: transposeAVX512, sum: sumAVX512,
		normSums: normSumsAVX512, normApply: normApplyAVX512, sgd: sgdAVX512, adamw: adamwAVX512,
		squares: squares512, add: add512, loss: lossAVX512, lossGrad: lossGradAVX512,
	}
}

func bf16Table() *halfTable {
	return &halfTable{
		conv: convHalf,
		wgrad: gradKernels{
			{{8, gradHalfWideV1C8}, {4, gradHalfWideV2C4}},
			{{16, gradHalfPointV1C16}, {8, gradHalfPointV2C8}},
		},
		pack: packHalf, pairs: pairsHalf, halve: halveHalf,
	}
}

type squareArgs struct {
	x   unsafe.Pointer
	n   int
	sum float64
}

type addArgs struct {
	dst, a, b unsafe.Pointer
	n         int
}

// squares512 leaves what is no whole vector to plain Go; add512 too.
func squares512(x unsafe.Pointer, n int) float64 {
	whole := n &^ (lanes - 1)
	a := squareArgs{x: x, n: whole}
	if whole > 0 {
		squaresAVX512(&a)
	}
	if whole < n {
		a.sum += genericSquares(unsafe.Add(x, 4*whole), n-whole)
	}
	return a.sum
}

func add512(dst, a, b unsafe.Pointer, n int) {
	whole := n &^ (lanes - 1)
	if whole > 0 {
		addAVX512(&addArgs{dst, a, b, whole})
	}
	if whole < n {
		genericAdd(unsafe.Add(dst, 4*whole), unsafe.Add(a, 4*whole), unsafe.Add(b, 4*whole), n-whole)
	}
}
