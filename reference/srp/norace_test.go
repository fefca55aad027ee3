// SPDX-License-Identifier: Apache-2.0

//go:build !race

package srp_test

const raceEnabled = false
