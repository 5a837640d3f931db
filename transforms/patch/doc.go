// Package patch decides which patch of which case enters a training batch, and
// where the tiles of inference lie.
package patch
