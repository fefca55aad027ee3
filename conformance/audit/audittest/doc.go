// SPDX-License-Identifier: Apache-2.0

// Package audittest tests the passive judge of a protocol with captures of it: whatever they are damaged by, written in or wrapped
// in, and whatever their clocks are, the verdicts are the same, or nobody is blamed. The tests are methods of [Judge], for the tests
// of protocols; those of reading captures, which need no protocol, are the tests of this package itself.
package audittest
