// SPDX-License-Identifier: Apache-2.0

//go:build race

package audittest

// The race detector allocates on its own account, and slows everything down.
func init() { RaceDetector = true }
