//go:build amd64 && !noasm

package cpu

import (
	"github.com/klauspost/cpuid/v2"
	"golang.org/x/sys/cpu"
)

//go:generate sh -c "cd _asm && for set in avx512 avx2 winograd bf16; do go run . -set $DOLLAR{set} -sources . -out ../kernels_$DOLLAR{set}_amd64.s -go ../kernels_$DOLLAR{set}_amd64.go; done"

// nativePaths lists the assembly, fastest first. The checks of x/sys/cpu include
// that the system saves the registers.
func nativePaths() []path {
	x := cpu.X86
	return []path{
		{avx512Table(), "AVX-512 F, BW, DQ and VL", x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL && x.HasAVX2 && x.HasFMA},
		{avx2Table(), "AVX2 and FMA", x.HasAVX2 && x.HasFMA},
	}
}

// avx512Table takes kernels for at most 8 output channels from AVX2, whose shorter
// instructions make up for half the registers.
func avx512Table() *table {
	t := &table{
		name: "avx512",
		conv: convAVX512,
		wgrad: gradKernels{
			{{8, gradWideV1C8}, {4, gradWideV2C4}, {4, gradWideH1C4}},
			{{16, gradPointV1C16}, {8, gradPointV2C8}, {8, gradPointH1C8}},
		},
		pack: packAVX512, transpose: transposeAVX512, sum: sumAVX512,
		normSums: normSumsAVX512, normApply: normApplyAVX512, sgd: sgdAVX512, adamw: adamwAVX512,
		squares: squaresAVX512, add: addAVX512,
		loss:     [widths]func(*lossArgs){one: lossAVX512, half: lossH1},
		lossGrad: [widths]func(*lossArgs){one: lossGradAVX512, half: lossGradH1},
		winograd: winogradAVX512, half: fasterHalf(),
	}
	for k := range kinds {
		t.conv[k][half] = convAVX2[k][half]
	}
	return t
}

// fasterHalf is nil where bfloat16 is no faster. AMD's cores multiply it at twice the rate of
// float32, Intel's, but for AMX, at half of it (BenchmarkPeak on family 6 model 207).
func fasterHalf() *halfTable {
	if cpuid.CPU.VendorID != cpuid.AMD {
		return nil
	}
	return bf16Table()
}

// bf16Table is nil where the CPU has no instructions for bfloat16.
func bf16Table() *halfTable {
	if !cpu.X86.HasAVX512BF16 {
		return nil
	}
	return &halfTable{
		conv: convHalf,
		wgrad: gradKernels{
			{one: {8, gradHalfWideV1C8}, two: {4, gradHalfWideV2C4}},
			{one: {16, gradHalfPointV1C16}, two: {8, gradHalfPointV2C8}},
		},
		pack: packHalf, pairs: pairsHalf, halve: halveHalf,
	}
}

func avx2Table() *table {
	return &table{
		name: "avx2",
		conv: convAVX2,
		wgrad: gradKernels{
			{one: {2, gradWideH2C2}, half: {4, gradWideH1C4}},
			{one: {4, gradPointH2C4}, half: {8, gradPointH1C8}},
		},
		pack: packAVX2, transpose: transposeAVX2, sum: sumAVX2,
		normSums: normSumsAVX2, normApply: normApplyAVX2, sgd: sgdAVX2, adamw: adamwAVX2,
		squares: squaresAVX2, add: addAVX2,
		loss:     [widths]func(*lossArgs){one: lossH2, half: lossH1},
		lossGrad: [widths]func(*lossArgs){one: lossGradH2, half: lossGradH1},
	}
}
