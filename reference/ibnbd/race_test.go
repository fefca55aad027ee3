// SPDX-License-Identifier: Apache-2.0

//go:build race

package ibnbd_test

const raceEnabled = true
