// SPDX-License-Identifier: Apache-2.0

// Package mutants has recorded exchanges of SRP that are altered as if a broken implementation had taken part. The passive judge has
// to find what is broken, and nothing else. The captures are those of the tests of package roce.
package mutants
