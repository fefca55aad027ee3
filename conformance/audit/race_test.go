// SPDX-License-Identifier: Apache-2.0

//go:build race

package audit

// The race detector allocates on its own account.
func init() { raceDetector = true }
