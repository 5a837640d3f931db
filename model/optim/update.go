package optim

import "math"

// Float is the element type of parameters.
type Float interface{ ~float32 | ~float64 }

// SGD updates param and velocity in place. Factor unscales and clips the gradient;
// hyper is (lr, momentum, weight decay). Weight decay is coupled and on every
// parameter; a velocity of zero makes the first step's velocity the gradient.
// Reference: torch.optim.SGD(nesterov=True).
func SGD[T Float](param, grad, velocity, hyper []T, factor T) {
	lr, momentum, decay := float64(hyper[0]), float64(hyper[1]), float64(hyper[2])
	for i, p := range param {
		g := float64(grad[i])*float64(factor) + decay*float64(p)
		velocity[i] = T(momentum*float64(velocity[i]) + g)
		param[i] = T(float64(p) - lr*(g+momentum*float64(velocity[i])))
	}
}

// AdamW updates param and its first and second moment in place. Factor unscales
// and clips the gradient; hyper is (lr, beta1, beta2, eps, weight decay,
// 1-beta1^t, 1-beta2^t). Weight decay is decoupled. Reference: torch.optim.AdamW.
func AdamW[T Float](param, grad, first, second, hyper []T, factor T) {
	lr, eps, decay := float64(hyper[0]), float64(hyper[3]), float64(hyper[4])
	b1, b2 := float64(hyper[1]), float64(hyper[2])
	correct1, correct2 := float64(hyper[5]), math.Sqrt(float64(hyper[6]))
	for i, p := range param {
		g := float64(grad[i]) * float64(factor)
		first[i] = T(b1*float64(first[i]) + (1-b1)*g)
		second[i] = T(b2*float64(second[i]) + (1-b2)*g*g)
		step := float64(first[i]) / correct1 / (math.Sqrt(float64(second[i]))/correct2 + eps)
		param[i] = T(float64(p)*(1-lr*decay) - lr*step)
	}
}
