package program

// Cost is what an instruction asks of a device at the least: products and sums of its
// convolutions, two a factor pair, and bytes of a placed program's buffers that it reads
// and writes, each once.
func (p *Program) Cost(in Instr) (flops, bytes int64) {
	seen := map[ID]bool{}
	for _, ids := range [][]ID{in.Reads(), in.Writes()} {
		for _, id := range ids {
			if !seen[id] {
				seen[id] = true
				bytes += p.Buffers[id].Bytes
			}
		}
	}
	switch in := in.(type) {
	case Conv:
		flops = p.pairs(in.Out, in.Weight) + p.upsampling(in.In)
	case ConvWeightGrad:
		flops = p.pairs(in.DOut, in.DWeight) + p.upsampling(in.In)
	case ConvDataGrad:
		wanted, all := 0, 0
		for i, id := range in.DIn {
			all += in.Channels[i]
			if id != None {
				wanted += in.Channels[i]
			}
		}
		flops = p.pairs(in.DOut, in.Weight) * int64(wanted) / int64(max(all, 1))
	case ConvTransposed:
		flops = p.pairs(in.In.Buf, in.Weight)
	case ConvTransposedWeightGrad:
		flops = p.pairs(in.In.Buf, in.DWeight)
	case ConvTransposedDataGrad:
		flops = p.pairs(in.DIn, in.Weight)
	}
	return flops, bytes
}

// pairs is twice the number of factor pairs of a kernel that has its first axis'
// channels at each voxel of an activation.
func (p *Program) pairs(activation, kernel ID) int64 {
	a := p.Buffers[activation].Shape
	return 2 * int64(a[0]) * int64(a[2]*a[3]*a[4]) * int64(p.Buffers[kernel].Len())
}

// upsampling is the cost of the transposed convolutions that readers compute.
func (p *Program) upsampling(views []View) (flops int64) {
	for _, v := range views {
		if v.Up != nil {
			flops += p.pairs(v.Buf, v.Up.Weight)
		}
	}
	return flops
}
